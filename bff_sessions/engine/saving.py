"""Write a session to the store, and merge concurrent saves.

If another request has changed the session, read it again, apply the changes of this request, and
try again.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from django.contrib.sessions.backends.base import CreateError, UpdateError

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.engine import conflicts, lifetimes, moves, signing_in, starting, verbs
from bff_sessions.engine.state import SessionState, Snapshot, State
from bff_sessions.engine.tickets import compose
from bff_sessions.exceptions import (
    SessionChanged,
    SessionConflict,
    SessionExists,
    SessionMissing,
)
from bff_sessions.identity import Identity
from bff_sessions.measuring import Counted, count
from bff_sessions.protection import store_key
from bff_sessions.sansio import Steps, pause

# The most tries of one save against concurrent saves. With the pauses below, sixteen writers that
# save the same session without a break need far fewer.
_MAX_TRIES = 64


def new_session_key() -> str:
    """Return a random session key of 160 bits. The store reports it if the key is taken."""
    # get_random_string() would ask the operating system for each character.
    return secrets.token_hex(20)


def insert(state: SessionState, session_key: str) -> Steps[None]:
    """Write the data as a new session.

    Raises:
        CreateError: if the key is taken.
        UpdateError: if the session was ended meanwhile.
    """
    new, identity = _compose(state, session_key, store_key(conf.PARTITION, session_key), None)
    yield from _end_replaced(state, identity, new.session, None)
    try:
        yield from starting.create_user_session(new.session)
    except SessionExists:
        raise CreateError("The session key is taken.") from None
    except SessionMissing:
        raise UpdateError("The session has ended while it was being created.") from None
    count(Counted.SAVES, "saved")
    state.restart()
    state.session_key = session_key
    yield from _note_and_announce(state, identity, new, None)


def update(state: SessionState, *, move: bool) -> Steps[bool]:
    """Overwrite the stored session; move it if `move` is true or another user signs in.

    If another request has moved the session meanwhile, write it under its new key.

    Returns:
        False if nothing was written, because the ticket does not open.

    Raises:
        SessionMissing: if the session has ended, or belongs to another person now.
        SessionConflict: if other requests kept changing it, or its ticket no longer opens.
    """
    is_caught_up = state.state is State.LOADED
    # If another request has moved it already, this request does not move it again.
    move = move and state.followed_key is None
    rotated_keys = (yield from moves.get_rotated_keys(state)) if move else ()
    tried = None
    for attempt in range(_MAX_TRIES):
        if not is_caught_up and state.state is not State.UNREADABLE:
            has_moved = yield from conflicts.catch_up(state, rotated_keys)
            move = move and not has_moved
        known, session_key, key = state.known, state.session_key, state.store_key
        if known is None or session_key is None or key is None:
            return False
        old = known.session
        if old.version == tried:
            # This transaction sees an old snapshot, so that another try would fail, too.
            break
        tried = old.version
        identity = state.data.identify(old)
        if move or (session_key == state.arrived_key and signing_in.changes_hands(old, identity)):
            session_key = rotated_keys[0] if move and rotated_keys else new_session_key()
            key = store_key(conf.PARTITION, session_key)
        new, identity = _compose(state, session_key, key, old, identity)
        yield from _end_replaced(state, identity, new.session, old)
        try:
            version = yield from starting.overwrite_user_session(old, new.session)
        except SessionMissing:
            if state.state is State.UNCOMMITTED:
                raise
            is_caught_up = False  # Another request may have moved it.
            continue
        except SessionChanged:
            is_caught_up = False
            if attempt:  # Most races are between two: the second try needs no pause.
                yield from pause(random.uniform(0, min(0.002 * 2**attempt, 0.25)))
            continue
        count(Counted.SAVES, "merged" if attempt else "saved")
        if new.session.key != old.key:
            state.change_session_key(session_key)
        state.data.replaces = False
        if version != new.session.version:  # A store may number versions in its own way.
            new.session = replace(new.session, version=version)
        yield from _note_and_announce(state, identity, new, old)
        return True
    count(Counted.SAVES, "refused")
    raise SessionConflict("The session kept changing while it was being saved.")


def _compose(
    state: SessionState,
    session_key: str,
    key: str,
    old: UserSession | None,
    identity: Identity | None = None,
) -> tuple[Snapshot, Identity]:
    """Return the session to write over `old`, and its identity."""
    now = datetime.now(UTC)
    identity = identity or state.data.identify(old)
    plain = state.data.dumps()
    expires = state.data.get_expiry(now, lifetimes.limit_of(identity, old, now))
    session = compose(key, plain, identity, old, now=now, expires=expires)
    return Snapshot(session_key, session, plain), identity


def _end_replaced(
    state: SessionState, identity: Identity, session: UserSession, old: UserSession | None
) -> Steps[None]:
    """End the sessions that `session` replaces, before it is written over `old`."""
    # No other session has a session ID that this package made.
    if identity.session_id is not None and signing_in.signs_in(session, old):
        yield from signing_in.replace_others(session, old, state.data.open)


def _note_and_announce(
    state: SessionState, identity: Identity, new: Snapshot, old: UserSession | None
) -> Steps[None]:
    """Note that `new` was written over `old`, and announce what started and ended by that."""
    # The state becomes LOADED when the transaction commits.
    state.save(new)
    yield from verbs.on_commit(partial(state.commit, new))
    yield from starting.announce(new.session, old)
    if signing_in.signs_in(new.session, old):
        yield from signing_in.finish(new.session, identity)
