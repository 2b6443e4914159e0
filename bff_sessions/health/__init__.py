"""Find out whether sessions work on this host: ``GET health`` and ``manage.py sessions doctor``.

- `store`: the store answers.
- `canary`: a session that another host has encrypted opens here.
- `oidc`: keys of the providers, and refresh tokens that wait.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.contract import UserSessionStore, UserSessionStoreCleanup
from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.findings import Finding, Verdict, fault, ok
from bff_sessions.health.canary import check_canary
from bff_sessions.oidc.health import check_keys, check_outbox
from bff_sessions.stores import get_store

__all__ = ["ESSENTIAL", "examine"]

ESSENTIAL: Final = frozenset({"store", "ticket"})
"""The subjects of the checks whose faults mean that this host can serve no session."""

# Clean-up runs every hour, see the how-to "Schedule". A day leaves time to repair the schedule.
_LATE: Final = timedelta(days=1)


def examine(*, ask_providers: bool) -> Iterator[Finding]:
    """Yield what each check finds. No check raises an error.

    Args:
        ask_providers: whether to fetch keys that are not cached. That can take 20 seconds for each
            provider.
    """
    answer = _check_store()
    yield answer
    if answer.verdict is Verdict.OK:
        yield _guarded("ticket", check_canary)
        yield _guarded("clean-up", _check_cleanup)
    if conf.PROVIDERS:
        try:
            yield from check_keys(ask_providers=ask_providers)
        except Exception as error:
            yield _stopped("keys", error)
        yield _guarded("outbox", lambda store: check_outbox())


def _check_store() -> Finding:
    """Read a session that does not exist."""

    def read(store: UserSessionStore) -> Finding:
        store.get_user_session(secrets.token_hex(32))
        return ok("store", f"{type(store).__name__} answers.")

    return _guarded("store", read)


def _check_cleanup(store: UserSessionStore) -> Finding:
    cleanup = store.get_ability(UserSessionStoreCleanup)
    if cleanup is None:
        return ok("clean-up", "The store deletes expired sessions itself.")
    if cleanup.has_expired_before(datetime.now(UTC) - _LATE):
        return fault(
            "clean-up",
            "Sessions are stored that expired more than a day ago. Run manage.py cleanup_sessions "
            "every hour.",
        )
    return ok("clean-up", "No session is stored that expired more than a day ago.")


def _guarded(subject: str, check: Callable[[UserSessionStore], Finding]) -> Finding:
    """Return what `check` finds in the configured store; a fault if it raises an error."""
    try:
        return check(get_store())
    except (ImproperlyConfigured, StoreUnavailable) as error:
        return fault(subject, str(error))
    except Exception as error:
        return _stopped(subject, error)


def _stopped(subject: str, error: Exception) -> Finding:
    # Without the error's own text: a driver's may quote values.
    return fault(subject, f"The check was stopped by {type(error).__name__}.")
