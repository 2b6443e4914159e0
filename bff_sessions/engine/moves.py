"""Find a session that another request has moved to a new key."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.engine import verbs
from bff_sessions.engine.auth import HashState, check_hash, has_hash, has_same_hash
from bff_sessions.engine.state import Cookie, SessionState
from bff_sessions.engine.take_over import take_over
from bff_sessions.engine.tickets import is_session_key
from bff_sessions.exceptions import SessionMissing
from bff_sessions.protection import next_session_keys, store_key
from bff_sessions.sansio import Steps, in_thread, pause

# The longest pauses while another request moves the session, in seconds. They are random.
_MOVE_PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
# Seconds from a new password in the database to the move of the session that has changed it.
_PASSWORD_PAUSE: Final = 0.1


@cache
def can_follow() -> bool:
    """Return whether a request may continue with a session that moved to a key it does not know.

    Django's session middleware would send the old key to the browser, and so sign the user out. A
    middleware that does not do so has the attribute ``keeps_cookie_of_others``.
    """
    return any(map(_keeps_cookie, settings.MIDDLEWARE))


def _keeps_cookie(path: str) -> bool:
    try:
        return bool(getattr(import_string(path), "keeps_cookie_of_others", False))
    except ImportError:
        return False  # Django reports it when the server starts.


def read(state: SessionState) -> Steps[UserSession | None]:
    """Read the session from where this request expects it."""
    key = state.store_key
    if key is None or state.session_key is None:
        return None
    session = yield from verbs.get_user_session(key)
    if session is None and state.known is None and settings.SECRET_KEY_FALLBACKS:
        session = yield from _read_after_rotation(state, state.session_key)
    if session is None and state.known is None and conf.TAKE_OVER is not None:
        yield from in_thread(take_over, state.session_key)
        session = yield from verbs.get_user_session(key)
    return session


def exists(session_key: str | None) -> Steps[bool]:
    """Return whether there is a session under `session_key`."""
    if not is_session_key(session_key):
        return False
    if conf.TAKE_OVER is not None:
        yield from in_thread(take_over, session_key)
    return (yield from verbs.get_user_session(store_key(conf.PARTITION, session_key))) is not None


def get_rotated_keys(state: SessionState) -> Steps[Sequence[str]]:
    """Return the new session keys if Django moves the session because of a new SECRET_KEY.

    Every request of a page does that when it first reads the user, so all of them must move the
    session to the same key. The first key is the present one, the other that of ten seconds ago.
    """
    known, data = state.known, state.data.values
    if known is None or not (settings.SECRET_KEY_FALLBACKS and has_hash(data)):
        return ()
    hash_state, data_hash = yield from in_thread(check_hash, data)
    if hash_state is not HashState.FALLBACK:
        return ()
    # Django sets it after the move. Until then, a request with the new key would move it again.
    data[HASH_SESSION_KEY] = data_hash
    return next_session_keys(known.session_key)


def _read_after_rotation(state: SessionState, session_key: str) -> Steps[UserSession | None]:
    """Return the session if get_rotated_keys() has just moved it from the key of this request.

    The browser sent this request before it had the new key. This works for at most ten seconds,
    and only until the session moves again.
    """
    for next_key in next_session_keys(session_key):
        session = yield from verbs.get_user_session(store_key(conf.PARTITION, next_key))
        if session is not None:
            state.session_key, state.cookie = next_key, Cookie.NEW_KEY
            return session
    return None


def follow(state: SessionState, rotated_keys: Sequence[str] = ()) -> Steps[UserSession | None]:
    """Return the session under the key to which another request has moved it; None if it has ended.

    Raises:
        SessionMissing: if this request cannot follow it, see can_follow().
    """
    session = yield from find_moved(state)
    if session is None:
        return None
    for session_key in rotated_keys:
        if session.key == store_key(conf.PARTITION, session_key):
            state.change_session_key(session_key)
            return session
    if not can_follow():
        raise SessionMissing
    state.followed_key = session.key
    return session


def find_moved(state: SessionState) -> Steps[UserSession | None]:
    """Return the session of the same sign-in, if another request has moved it.

    Wait if that request is just moving it: the default move of a store takes four steps.
    """
    known = state.known
    # No filter names an anonymous session.
    if known is None or known.session.session_id is None:
        return None
    filter = UserSessionsFilter.of_session(known.session)
    for longest in _MOVE_PAUSES:
        found = yield from verbs.get_user_sessions(filter)
        # A new sign-in may have the same subject and session ID at the provider.
        same = [session for session in found if session.sign_in_id == known.session.sign_in_id]
        for session in same:
            if not session.is_moved and state.data.open(session) is not None:
                return session
        if not any(session.is_moved for session in same):
            break
        yield from pause(random.uniform(0, longest))
    return None


def was_taken_along(state: SessionState) -> Steps[bool]:
    """Return whether the request that changed the user's password has kept this session.

    For a session that has_old_password().

    Django's get_user() may find the new password just before that request moves the session and
    saves the new hash. So wait for that request.
    """
    yield from pause(_PASSWORD_PAUSE)
    session = yield from read(state)
    if session is None:
        return (yield from find_moved(state)) is not None
    opened = state.data.open(session)
    return opened is not None and not has_same_hash(opened[1], state.data.values)


def has_old_password(state: SessionState) -> Steps[bool]:
    """Return whether the user has changed the password since the session was saved."""
    data = state.data.values
    if not has_hash(data):
        return False
    try:
        hash_state, _ = yield from in_thread(check_hash, data)
    except Exception:
        return False  # Whatever failed in the backend, the session must end.
    return hash_state is HashState.OLD


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "MIDDLEWARE":
        can_follow.cache_clear()


setting_changed.connect(_forget, dispatch_uid="bff_sessions.engine.moves")
