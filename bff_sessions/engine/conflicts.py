"""Catch up with a session that another request has saved since this request loaded it."""

from __future__ import annotations

from collections.abc import Sequence

from bff_sessions.contract import UserSession
from bff_sessions.engine import lifetimes, moves
from bff_sessions.engine.state import SessionState, Snapshot
from bff_sessions.engine.tickets import is_other_subject
from bff_sessions.exceptions import SessionConflict, SessionMissing
from bff_sessions.identity import identify
from bff_sessions.sansio import Steps


def catch_up(state: SessionState, rotated_keys: Sequence[str] = ()) -> Steps[bool]:
    """Load the session as the store has it now, and apply the changes of this request to it.

    Returns:
        True if another request has moved it to another key.

    Raises:
        SessionMissing, SessionConflict: see saving.update().
    """
    committed, uncommitted = state.committed, state.uncommitted
    session, has_moved = (yield from moves.read(state)), False
    if session is None and uncommitted is None:
        session = yield from moves.follow(state, rotated_keys)
        has_moved = session is not None
    if uncommitted is not None:
        if committed is not None and committed.session_key != uncommitted.session_key:
            if session is None:
                # The transaction that moved it was rolled back.
                state.session_key = committed.session_key
                session = yield from moves.read(state)
        elif session is None:
            return False  # Expired or rolled back: the conditional write decides.
        if session is not None and session.ticket == uncommitted.session.ticket:
            return False  # This request wrote it.
    if session is None or state.session_key is None:
        raise SessionMissing
    # If the store no longer has an uncommitted save, it was rolled back and cannot be the base.
    base = committed or uncommitted
    opened = state.data.open(session)
    if opened is None:
        if base is None:
            state.refuse()
            return False
        raise SessionConflict("The session can no longer be opened.")
    plain, current = opened
    if base is not None:
        if base.session.subject_id is not None and _is_other_sign_in(state, base.session, session):
            raise SessionMissing  # The user has signed out, or another one has signed in.
        state.data.rebase(base.plain, current)
    state.load(Snapshot(state.session_key, session, plain))
    return has_moved


def _is_other_sign_in(state: SessionState, old: UserSession, session: UserSession) -> bool:
    """Return whether `session` has a newer sign-in than `old`, made by another request."""
    if is_other_subject(old, session):
        return True
    if session.sign_in_id == old.sign_in_id:
        return False
    return lifetimes.goes_on(old, identify(state.data.values))
