"""System checks of the abilities that other settings need from the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.contract import UserSessionStoreDevices, UserSessionStoreLeases
from bff_sessions.stores import get_store
from bff_sessions.watching.listening import find_notices

_NO_LEASES: Final = Fault(
    "W011",
    "BFF_SESSIONS['STORE'] has no leases: get_access_token() cannot refresh tokens with {store!r}.",
    "Use a store that inherits from UserSessionStoreLeases, also behind a cache.",
)
_NO_DEVICES: Final = Fault(
    "W071",
    "BFF_SESSIONS['DEVICE'] has no effect: {store!r} stores no devices.",
    "Use a store that inherits from UserSessionStoreDevices, also behind a cache.",
)
_NO_NOTICES: Final = Fault(
    "W058",
    "BFF_SESSIONS['EVENTS_NOTICES'] has no effect: {store!r} sends no notices.",
    "Use the Redis store or PostgreSQL with psycopg 3, also behind a cache, or leave it out.",
)


def check_abilities() -> Iterator[CheckMessage]:
    """Yield a warning for each ability that the settings need and the store lacks."""
    try:
        store = get_store()
    except Exception:
        return  # Another check reports it.
    if conf.PROVIDERS and store.get_ability(UserSessionStoreLeases) is None:
        yield _NO_LEASES(store=conf.STORE)
    if conf.DEVICE is not None and store.get_ability(UserSessionStoreDevices) is None:
        yield _NO_DEVICES(store=conf.STORE)
    if conf.EVENTS_NOTICES is True and find_notices() is None:
        yield _NO_NOTICES(store=conf.STORE)
