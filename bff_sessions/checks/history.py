"""System checks of what the history can record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.contract import UserSessionStoreCleanup
from bff_sessions.history.reading import database, is_installed
from bff_sessions.stores import database_of_store, get_store

_OTHER_DATABASE: Final = Fault(
    "W110",
    "Sessions are in the database {sessions!r}, and their history in {history!r}: a crash can keep "
    "the start or the end of a session out of the history.",
    "Use a router in DATABASE_ROUTERS that returns the same database for the models Session of "
    "bff_sessions and Event of bff_sessions_history.",
)
_NO_EXPIRY: Final = Fault(
    "W111",
    "The history has no entry for sessions that expire: {store!r} deletes them by itself.",
    "Use a store with UserSessionStoreCleanup. In Redis, set TOKEN_REVOCATION['EXPIRED_SESSIONS'] "
    "to True. Or silence this check.",
)


def check_history() -> Iterator[CheckMessage]:
    """Yield a warning for each thing that the history cannot record."""
    if not is_installed():
        return
    try:
        store, sessions = get_store(), database_of_store()
    except Exception:
        return  # Another check reports it.
    if sessions is not None and sessions != database():
        yield _OTHER_DATABASE(sessions=sessions, history=database())
    if store.get_ability(UserSessionStoreCleanup) is None:
        yield _NO_EXPIRY(store=conf.STORE)
