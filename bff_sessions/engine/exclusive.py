"""A session that one request has to itself, by a lease."""

from __future__ import annotations

import logging
import random
import secrets
import time

from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions import conf
from bff_sessions.contract import UserSessionsFilter, UserSessionStoreLeases
from bff_sessions.engine.lifecycle import SessionLifecycle
from bff_sessions.engine.steps import Block, Shielded, Steps, call, finally_take, insist
from bff_sessions.exceptions import SessionBusy, SessionMissing
from bff_sessions.stores import get_store

__all__ = ["ExclusiveSession"]

logger = logging.getLogger("bff_sessions.engine")


class ExclusiveSession(SessionLifecycle):
    def exclusive(self, *, timeout: float = 20, seconds: float = 15) -> Block:
        """Have the session to oneself: for what may be done once only, and cannot be merged.

        Use as ``with request.session.exclusive():`` or ``async with``, around the use of a
        refresh token that the provider rotates, for one. Others that enter such a block wait;
        loads and saves of others do not, and merge. On entry the session is read again.

        On exit what changed is saved at once, also after an exception and also if the task is
        cancelled, in the block or while it leaves it: what the provider did is done. A task that
        is cancelled while it waits for others stops waiting. In any case the cancellation is
        raised once the session is free for others, which takes a few statements.

        Args:
            timeout: how long to wait for others, in seconds.
            seconds: when others get it even so, because whoever had it died.

        Raises:
            AbilityMissing: if the store has no leases.

        Raises (on entry):
            SessionBusy: if `timeout` is over.
            SessionInterrupted: if the session has ended (on exit, too).
            RuntimeError: inside a transaction, whose end nobody knows.
        """
        get_store().require_ability(UserSessionStoreLeases)
        owner = secrets.token_hex(16)
        return Block(
            lambda: self._enter_exclusive(owner, timeout, seconds),
            lambda: self._end_exclusive(owner),
        )

    def _enter_exclusive(self, owner: str, timeout: float, seconds: float) -> Steps[None]:
        """Take the steps of _begin_exclusive(), and leave no lease behind if they fail."""
        try:
            yield from self._begin_exclusive(owner, timeout, seconds)
        except (SessionBusy, GeneratorExit):  # Another request has the lease; no step is possible.
            raise
        except BaseException:
            # Also if acquire_lease() itself failed: its write may be done all the same.
            try:
                yield Shielded(self._release(owner))
            except Exception as error:
                logger.warning("A lease was not released: %s.", type(error).__name__)
            raise

    def _begin_exclusive(self, owner: str, timeout: float, seconds: float) -> Steps[None]:
        deadline = time.monotonic() + timeout
        pause = 0.01
        if self._known is None and (conf.TAKE_OVER or settings.SECRET_KEY_FALLBACKS):
            # Where the engine of before still has it, there is nothing yet to lease. And it may
            # have moved, for a new SECRET_KEY.
            yield from self._get_data()
        while self._session_key is not None:
            try:
                if (yield Shielded(self._acquire(owner, seconds))):
                    break
            except SessionMissing:
                if self._known is None:
                    break  # A key that came with the request and is nobody's.
                yield from self._follow_or_end()
            left = deadline - time.monotonic()
            if left <= 0:
                raise SessionBusy("The session was in use for too long.")
            yield min(left, random.uniform(0, pause))
            pause = min(2 * pause, 0.25)
        try:
            if self._known is None:
                yield from self._get_data()
            else:
                yield from self._catch_up()
        except SessionMissing:
            raise SessionInterrupted("The session has ended.") from None

    def _follow_or_end(self) -> Steps[None]:
        """Find the session where another request has moved it to.

        Raises:
            SessionInterrupted: if it has ended.
        """
        try:
            row = yield from self._follow()
        except SessionMissing:
            row = None
        if row is None:
            raise SessionInterrupted("The session has ended.") from None

    def _end_exclusive(self, owner: str) -> Steps[None]:
        saving = insist(self._save_changes)
        try:
            yield from finally_take(lambda: insist(lambda: self._release(owner)), after=saving)
        except UpdateError as error:
            raise SessionInterrupted(str(error)) from None

    def _save_changes(self) -> Steps[None]:
        data = yield from self._get_data()
        known = self._known
        if data if known is None else not self._holds(known, data):
            yield from self._save(False)

    def _acquire(self, owner: str, seconds: float) -> Steps[bool]:
        acquired: bool = yield call("acquire_lease", self.store_key, owner, seconds)
        return acquired

    def _release(self, owner: str) -> Steps[None]:
        if self._session_key is None or (yield call("release_lease", self.store_key, owner)):
            return
        known = self._known
        if known is None or known.row.session_id is None:  # No filter names an anonymous session.
            return
        # Another request may have moved the session, and the lease with it. No other lease has
        # this owner.
        for row in (yield call("get_user_sessions", UserSessionsFilter.of_session(known.row))):
            yield call("release_lease", row.key, owner)
