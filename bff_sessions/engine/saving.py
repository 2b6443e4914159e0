"""How a session is written to the store, and how concurrent saves merge.

A session that another request has changed is read again, what changed here is applied onto it, and
the save is tried again.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from django.contrib.sessions.backends.base import CreateError

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.engine import lifetimes, moves, signing_in, verbs
from bff_sessions.engine.sansio import Steps, pause
from bff_sessions.engine.state import SessionState, Snapshot, State
from bff_sessions.engine.tickets import compose, is_other_subject
from bff_sessions.exceptions import (
    SessionChanged,
    SessionConflict,
    SessionExists,
    SessionMissing,
)
from bff_sessions.identity import Identity, identify
from bff_sessions.protection import store_key

__all__ = ["catch_up", "get_limit", "insert", "new_session_key", "renew", "update"]

# Tries of one save against concurrent saves. With the pauses below, far more than sixteen
# writers that save the same session without rest need.
_MAX_TRIES = 64


def new_session_key() -> str:
    """Return a session key of 160 bits. The store decides whether it is taken."""
    # Not get_random_string(), which asks the system for each character.
    return secrets.token_hex(20)


def get_limit(state: SessionState, now: datetime) -> datetime | None:
    """Return when a save would let the session end at the latest."""
    if conf.ABSOLUTE_LIFETIME is None:
        return None
    old = None if state.known is None else state.known.row
    return lifetimes.limit_of(identify(state.data.values), old, now)


def insert(state: SessionState, session_key: str) -> Steps[None]:
    """Write the data as a new session.

    Raises:
        CreateError: if the key is taken.
    """
    new, identity = _compose(state, session_key, store_key(conf.PARTITION, session_key), None)
    yield from _end_replaced(state, identity, new.row, None)
    try:
        yield from verbs.create_user_session(new.row)
    except SessionExists:
        raise CreateError("The session key is taken.") from None
    state.restart()
    state.session_key = session_key
    yield from _note_and_announce(state, identity, new, None)


def update(state: SessionState, *, move: bool) -> Steps[bool]:
    """Write the data over the stored session; under a new key if `move`, or if it changes hands.

    If another request has moved the session meanwhile, it is written where it is now.

    Returns:
        False if nothing was written, because the ticket does not open.

    Raises:
        SessionMissing: if the session is gone, or is another person's by now.
        SessionConflict: if it kept changing, or does not open any more.
    """
    is_caught_up = state.state is State.LOADED
    # Where another request has moved it already, this one moves nothing more.
    move = move and state.moved_to is None
    step_keys = (yield from moves.get_step_keys(state)) if move else ()
    tried = None
    for attempt in range(_MAX_TRIES):
        if not is_caught_up and state.state is not State.UNREADABLE:
            has_moved = yield from catch_up(state, step_keys)
            move = move and not has_moved
        known, session_key, key = state.known, state.session_key, state.store_key
        if known is None or session_key is None or key is None:
            return False
        old = known.row
        if old.version == tried:
            # A transaction that is shown the past: there is no use in trying again.
            break
        tried = old.version
        identity = state.data.identify(old)
        if move or (session_key == state.arrived_key and signing_in.changes_hands(old, identity)):
            session_key = step_keys[0] if move and step_keys else new_session_key()
            key = store_key(conf.PARTITION, session_key)
        new, identity = _compose(state, session_key, key, old, identity)
        yield from _end_replaced(state, identity, new.row, old)
        try:
            version = yield from verbs.overwrite_user_session(old, new.row)
        except SessionMissing:
            if state.state is State.UNCOMMITTED:
                raise
            is_caught_up = False  # Perhaps it is somewhere else.
            continue
        except SessionChanged:
            is_caught_up = False
            if attempt:  # Most races are between two: the second try needs no pause.
                yield from pause(random.uniform(0, min(0.002 * 2**attempt, 0.25)))
            continue
        if new.row.key != old.key:
            state.move_to(session_key)
        state.data.replaces = False
        if version != new.row.version:  # A store may count as it likes.
            new.row = replace(new.row, version=version)
        yield from _note_and_announce(state, identity, new, old)
        return True
    raise SessionConflict("The session kept changing while it was being saved.")


def renew(state: SessionState, saved: Snapshot) -> Steps[None]:
    """Let the session live on, without writing its ticket. If it has ended, so be it.

    Raises:
        SessionMissing: if another request has moved it to a key that this one cannot follow.
    """
    now = datetime.now(UTC)
    expires = state.data.get_expiry(now, get_limit(state, now))
    if not (yield from verbs.touch_user_session(saved.row.key, now, expires)):
        # The middleware is about to send the cookie, which must not be that of before.
        yield from moves.follow(state)
        return
    row = replace(saved.row, renewed=now, expires=expires)
    state.load(Snapshot(saved.session_key, row, saved.plain))


def catch_up(state: SessionState, step_keys: Sequence[str] = ()) -> Steps[bool]:
    """Take over the session as the store has it now, and apply what changed here onto its data.

    Returns:
        Whether another request has moved it to another key.

    Raises:
        SessionMissing, SessionConflict: as update().
    """
    committed, uncommitted = state.committed, state.uncommitted
    row, has_moved = (yield from moves.read(state)), False
    if row is None and uncommitted is None:
        row = yield from moves.follow(state, step_keys)
        has_moved = row is not None
    if uncommitted is not None:
        if committed is not None and committed.session_key != uncommitted.session_key:
            if row is None:
                # The transaction that moved it was rolled back.
                state.session_key = committed.session_key
                row = yield from moves.read(state)
        elif row is None:
            return False  # Expired or rolled back: the conditional write decides.
        if row is not None and row.ticket == uncommitted.row.ticket:
            return False  # Still ours.
    if row is None or state.session_key is None:
        raise SessionMissing
    # An uncommitted save that is not there any more was rolled back, so it is no base.
    base = committed or uncommitted
    opened = state.data.open(row)
    if opened is None:
        if base is None:
            state.refuse()
            return False
        raise SessionConflict("The session cannot be opened any more.")
    plain, current = opened
    if base is not None:
        if base.row.subject_id is not None and _is_other_sign_in(state, base.row, row):
            raise SessionMissing  # Signed out meanwhile, and by no flush().
        state.data.rebase(base.plain, current)
    state.load(Snapshot(state.session_key, row, plain))
    return has_moved


def _is_other_sign_in(state: SessionState, old: UserSession, row: UserSession) -> bool:
    """Return whether `row` is of another sign-in than `old`, and not of this request's own."""
    if is_other_subject(old, row):
        return True
    if row.sign_in_id == old.sign_in_id:
        return False
    return lifetimes.goes_on(old, identify(state.data.values))


def _compose(
    state: SessionState,
    session_key: str,
    key: str,
    old: UserSession | None,
    identity: Identity | None = None,
) -> tuple[Snapshot, Identity]:
    """Return the session that holds the data after `old`, and whose it is."""
    now = datetime.now(UTC)
    identity = identity or state.data.identify(old)
    plain = state.data.dumps()
    expires = state.data.get_expiry(now, lifetimes.limit_of(identity, old, now))
    row = compose(key, plain, identity, old, now=now, expires=expires)
    return Snapshot(session_key, row, plain), identity


def _end_replaced(
    state: SessionState, identity: Identity, row: UserSession, old: UserSession | None
) -> Steps[None]:
    """End the sessions that `row` replaces, before it is written over `old`."""
    # A session ID of our own making has no other sessions.
    if identity.session_id is not None and signing_in.signs_in(row, old):
        yield from signing_in.replace_others(row, old, state.data.open)


def _note_and_announce(
    state: SessionState, identity: Identity, new: Snapshot, old: UserSession | None
) -> Steps[None]:
    """Note that `new` was written over `old`, and announce a sign-in."""
    # LOADED only once the transaction commits.
    state.save(new)
    yield from verbs.on_commit(partial(state.commit, new))
    if signing_in.signs_in(new.row, old):
        yield from signing_in.finish(new.row, identity.auth_time)
