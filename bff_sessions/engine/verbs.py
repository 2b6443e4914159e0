"""The verbs of the configured store as steps, with types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bff_sessions.contract import UserSession, UserSessionsFilter, UserSessionStoreLeases
from bff_sessions.measuring import traced
from bff_sessions.sansio import Steps, call
from bff_sessions.stores import get_store


def get_user_session(key: str) -> Steps[UserSession | None]:
    """Return the session under `key`; one that is moving is absent."""
    store = get_store()
    reading = call(store.get_user_session, store.aget_user_session, key)
    session = yield from traced("get_user_session", reading)
    return None if session is None or session.is_moved else session


def get_user_sessions(filter: UserSessionsFilter) -> Steps[list[UserSession]]:
    """Return the live sessions that match, with their tickets."""
    store = get_store()
    steps = call(store.get_user_sessions, store.aget_user_sessions, filter)
    return traced("get_user_sessions", steps)


def list_ages(filter: UserSessionsFilter) -> Steps[list[tuple[datetime, str]]]:
    """Return `created` and the store key of all live sessions that match."""
    store = get_store()
    ages: list[tuple[datetime, str]] = []
    cursor = None
    while True:
        verb, twin = store.query_user_sessions, store.aquery_user_sessions
        reading = call(verb, twin, filter, cursor=cursor, limit=500)
        page = yield from traced("query_user_sessions", reading)
        ages += [(one.created, one.key) for one in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            return ages


def create_user_session(session: UserSession) -> Steps[None]:
    """Create `session`; SessionExists if its key is taken."""
    store = get_store()
    steps = call(store.create_user_session, store.acreate_user_session, session)
    return traced("create_user_session", steps)


def overwrite_user_session(read: UserSession, session: UserSession) -> Steps[int]:
    """Write `session` over `read`, also under another key. Return the new version."""
    store = get_store()
    steps = call(store.overwrite_user_session, store.aoverwrite_user_session, read, session)
    return traced("overwrite_user_session", steps)


def touch_user_session(
    key: str, renewed: datetime, expires: datetime | None, if_version: int
) -> Steps[bool]:
    """Renew the session under `key`. Return whether it exists; SessionChanged if it was saved."""
    store = get_store()
    verb, twin = store.touch_user_session, store.atouch_user_session
    steps = call(verb, twin, key, renewed=renewed, expires=expires, if_version=if_version)
    return traced("touch_user_session", steps)


def acquire_lease(key: str, owner: str, seconds: float) -> Steps[bool]:
    """Lease the session under `key`. Return whether `owner` has the lease now."""
    leases = get_store().require_ability(UserSessionStoreLeases)
    steps = call(leases.acquire_lease, leases.aacquire_lease, key, owner, seconds)
    return traced("acquire_lease", steps)


def release_lease(key: str, owner: str) -> Steps[bool]:
    """Release the lease. Return whether `owner` had it."""
    leases = get_store().require_ability(UserSessionStoreLeases)
    steps = call(leases.release_lease, leases.arelease_lease, key, owner)
    return traced("release_lease", steps)


def on_commit(callback: Callable[[], None]) -> Steps[None]:
    """Call `callback` when what was written is committed."""
    store = get_store()
    return call(store.on_commit, store.aon_commit, callback)
