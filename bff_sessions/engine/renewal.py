"""Renew a session: extend its lifetime without writing its ticket."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bff_sessions import conf
from bff_sessions.engine import lifetimes, moves, verbs
from bff_sessions.engine.state import SessionState, Snapshot, State
from bff_sessions.exceptions import SessionChanged
from bff_sessions.identity import identify
from bff_sessions.sansio import Steps


def get_limit(state: SessionState, now: datetime | None = None) -> datetime | None:
    """Return the latest moment at which the session may expire; None if nothing limits it."""
    if conf.ABSOLUTE_LIFETIME is None:
        return None
    old = None if state.known is None else state.known.session
    return lifetimes.limit_of(identify(state.data.values), old, now or datetime.now(UTC))


def is_due(state: SessionState) -> bool:
    """Return whether a request that changes no data renews the session."""
    saved = state.committed
    if saved is None or state.state is not State.LOADED:
        return False
    now = datetime.now(UTC)
    if not lifetimes.is_due(saved.session, now):
        return False
    expires = state.data.get_expiry(now, get_limit(state, now))
    return lifetimes.is_worth_renewing(saved.session, expires, now)


def renew(state: SessionState, saved: Snapshot) -> Steps[None]:
    """Extend the lifetime of the session. Do nothing if it has ended, or was saved meanwhile.

    Raises:
        SessionMissing: if another request has moved it to a key that this one cannot follow.
    """
    now = datetime.now(UTC)
    expires = state.data.get_expiry(now, get_limit(state, now))
    known = saved.session
    try:
        is_stored = yield from verbs.touch_user_session(known.key, now, expires, known.version)
    except SessionChanged:
        return  # That save has renewed the session, for as long as its own data say.
    if not is_stored:
        # The middleware sends the cookie next, which must not have the old session key.
        yield from moves.follow(state)
        return
    session = replace(saved.session, renewed=now, expires=expires)
    state.load(Snapshot(saved.session_key, session, saved.plain))
