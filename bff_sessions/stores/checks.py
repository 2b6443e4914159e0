"""What the configured store must be able to do for the other settings."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning

from bff_sessions import conf
from bff_sessions.contract import UserSessionStoreDevices, UserSessionStoreLeases
from bff_sessions.stores import get_store

__all__ = ["check_abilities"]


def check_abilities() -> Iterator[CheckMessage]:
    """Yield what the settings need and the store lacks."""
    try:
        store = get_store()
    except Exception:
        return  # Another check reports it.
    if conf.PROVIDERS and store.get_ability(UserSessionStoreLeases) is None:
        yield Warning(
            f"BFF_SESSIONS['STORE'] has no leases: get_access_token() cannot refresh tokens with "
            f"{conf.STORE!r}.",
            hint="Let the store, or the one behind the cache, be a UserSessionStoreLeases.",
            id="bff_sessions.W011",
        )
    if conf.DEVICE is not None and store.get_ability(UserSessionStoreDevices) is None:
        yield Warning(
            f"BFF_SESSIONS['DEVICE'] has no effect: {conf.STORE!r} stores no devices.",
            hint="Let the store, or the one behind the cache, be a UserSessionStoreDevices.",
            id="bff_sessions.W071",
        )
