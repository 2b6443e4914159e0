"""End the session of a request: its delete, and the flush at a sign-out."""

from __future__ import annotations

from bff_sessions import conf
from bff_sessions.contract import Actor, EndReason, UserSession, UserSessionsFilter
from bff_sessions.engine import moves
from bff_sessions.engine.state import Cookie, SessionState, State
from bff_sessions.engine.take_over import take_over
from bff_sessions.engine.tickets import is_session_key
from bff_sessions.events import Cause
from bff_sessions.protection import store_key
from bff_sessions.revocation import endings
from bff_sessions.sansio import Steps, in_thread


def delete(state: SessionState, session_key: str | None) -> Steps[bool]:
    """Delete the session under `session_key`, by default this one; True if it existed."""
    is_own = session_key in (None, state.session_key)
    known = state.known.session if is_own and state.known is not None else None
    return (yield from _delete(state, session_key, known, Cause(EndReason.CODE)))


def flush(state: SessionState, *, signs_out: bool, cause: Cause | None) -> Steps[None]:
    """Delete the session, and begin an empty one.

    Args:
        signs_out: True if the user signs out. Django also flushes a session whose user has
            changed the password.
        cause: why the session ends, if that does not follow from `signs_out` and the password.
    """
    session = None if state.known is None else state.known.session
    if signs_out and state.left is not None:
        filter = UserSessionsFilter.of_session(state.left)
        cause = cause or _sign_out_of(state.left)
        yield from endings.end_matching(filter, cause, is_own=True)
        state.left = None
    if session is not None and not signs_out and (yield from moves.has_old_password(state)):
        if (yield from moves.was_taken_along(state)):
            state.left = session
            _restart(state)
            state.cookie = Cookie.OF_OTHERS
            return
        cause = cause or Cause(EndReason.SECURITY_EVENT)
    # An anonymous session has no user who would sign in again.
    state.has_ended |= not signs_out and session is not None and session.subject_id is not None
    if session is None and state.state is not State.UNREADABLE:
        session = yield from moves.read(state)
        if session is not None and state.data.open(session) is None:
            state.refuse()
    cause = cause or (_sign_out_of(session) if signs_out else Cause(EndReason.CODE))
    deleted = yield from _delete(state, None, session, cause)
    is_unreadable = state.state is State.UNREADABLE
    if not (deleted or session is None or session.session_id is None or is_unreadable):
        # Another request has moved it to a new key, which this request cannot know.
        filter = UserSessionsFilter.of_session(session)
        yield from endings.end_matching(filter, cause, is_own=True)
    saved = state.committed
    if saved is not None and saved.session_key != state.session_key:
        # The transaction that moved it may be rolled back, or was.
        yield from _delete(state, saved.session_key, None, cause)
    _restart(state)


def _delete(
    state: SessionState, session_key: str | None, session: UserSession | None, cause: Cause
) -> Steps[bool]:
    """See delete().

    Args:
        session: the session to delete, as far as this request knows it.
    """
    is_own = session_key in (None, state.session_key)
    session_key = session_key or state.session_key
    if not is_session_key(session_key) or (is_own and state.state is State.UNREADABLE):
        return False
    key = store_key(conf.PARTITION, session_key)
    if is_own:
        key = state.store_key or key
    deleted = yield from endings.end_one(key, session, cause, is_own=True)
    if not deleted and conf.TAKE_OVER is not None:
        yield from in_thread(take_over, session_key)
        deleted = yield from endings.end_one(key, None, cause, is_own=True)
    return deleted


def _restart(state: SessionState) -> None:
    """Begin an empty session."""
    state.data.clear()
    state.session_key = None
    state.is_modified = True
    state.restart()


def _sign_out_of(session: UserSession | None) -> Cause:
    return Cause(EndReason.SIGNED_OUT, None if session is None else Actor.of_session(session))
