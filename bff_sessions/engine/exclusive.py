"""Lease a session to one request."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions import conf
from bff_sessions.contract import UserSessionsFilter, UserSessionStoreLeases
from bff_sessions.engine import conflicts, moves, verbs
from bff_sessions.engine.lifecycle import StoredSession
from bff_sessions.exceptions import SessionBusy, SessionMissing
from bff_sessions.sansio import Block, Steps, finally_take, pause, shield
from bff_sessions.stores import get_store

logger = logging.getLogger("bff_sessions.engine")

_T = TypeVar("_T")

_HAS_ENDED = "The session has ended."


def exclusive_block(
    session: StoredSession, timeout: float, seconds: float, *, keep: object
) -> Block:
    """Return the block of `SessionStore.exclusive()`.

    Args:
        keep: what must live as long as the block, since `session` refers to it weakly.

    Raises:
        AbilityMissing: if the store has no leases.
    """
    get_store().require_ability(UserSessionStoreLeases)
    lease = _Lease(session, seconds, keep)
    return Block(lambda: lease.enter(timeout), lease.leave)


class _Lease:
    def __init__(self, session: StoredSession, seconds: float, keep: object) -> None:
        self._keep = keep
        self._session = session
        self._state = session.state
        self._seconds = seconds
        self._owner = secrets.token_hex(16)

    def enter(self, timeout: float) -> Steps[None]:
        """Acquire the lease and read the session, and leave no lease behind if that fails."""
        try:
            yield from self._acquire(timeout)
            yield from self._read_again()
        except (SessionBusy, GeneratorExit):  # Another request has the lease; no step is possible.
            raise
        except BaseException:
            # Also if acquire_lease() failed, because its write may have been done.
            try:
                yield from shield(self._release())
            except Exception as error:
                logger.warning("A lease was not released: %s.", type(error).__name__)
            raise

    def leave(self) -> Steps[None]:
        """Save what has changed, and release the lease."""
        try:
            saved = _insist(self._save_changes)
            yield from finally_take(saved, then=lambda: _insist(self._release))
        except UpdateError:
            raise SessionInterrupted(_HAS_ENDED) from None

    def _acquire(self, timeout: float) -> Steps[None]:
        state, deadline, longest = self._state, time.monotonic() + timeout, 0.01
        if state.known is None and (conf.TAKE_OVER or settings.SECRET_KEY_FALLBACKS):
            # The previous engine may still have it, or a new SECRET_KEY may have moved it.
            yield from self._session.ensure_loaded()
        while (key := state.store_key) is not None:
            try:
                acquire = verbs.acquire_lease(key, self._owner, self._seconds)
                if (yield from shield(acquire)):
                    break
            except SessionMissing:
                if state.known is None:
                    break  # A key that came with the request and is nobody's.
                yield from self._follow_or_end()
            left = deadline - time.monotonic()
            if left <= 0:
                raise SessionBusy("Another request holds the lease of the session for too long.")
            yield from pause(min(left, random.uniform(0, longest)))
            longest = min(2 * longest, 0.25)

    def _read_again(self) -> Steps[None]:
        try:
            if self._state.known is None:
                yield from self._session.ensure_loaded()
            else:
                yield from conflicts.catch_up(self._state)
        except SessionMissing:
            raise SessionInterrupted(_HAS_ENDED) from None

    def _follow_or_end(self) -> Steps[None]:
        """Find the session under the key to which another request has moved it.

        Raises:
            SessionInterrupted: if it has ended.
        """
        try:
            found = yield from moves.follow(self._state)
        except SessionMissing:
            found = None
        if found is None:
            raise SessionInterrupted(_HAS_ENDED) from None

    def _save_changes(self) -> Steps[None]:
        yield from self._session.ensure_loaded()
        if self._state.has_changed():
            yield from self._session.save(False, slide=True)

    def _release(self) -> Steps[None]:
        key, known = self._state.store_key, self._state.known
        if self._state.session_key is None or key is None:
            return
        if (yield from verbs.release_lease(key, self._owner)):
            return
        if known is None or known.session.session_id is None:
            return  # No filter names an anonymous session.
        # Another request may have moved the session, and the lease with it. No other lease has
        # this owner.
        filter = UserSessionsFilter.of_session(known.session)
        for other in (yield from verbs.get_user_sessions(filter)):
            yield from verbs.release_lease(other.key, self._owner)


def _insist(make: Callable[[], Steps[_T]]) -> Steps[_T]:
    """Take steps once more if they are interrupted, and raise the interruption after that.

    For steps that may be taken twice. An event loop that ends cancels every task, also those that
    finish shielded steps.
    """
    try:
        return (yield from make())
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        yield from make()
        raise
