"""A session that one request has to itself, by a lease."""

from __future__ import annotations

import random
import secrets
import time

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions import conf
from bff_sessions.engine.lifecycle import SessionLifecycle
from bff_sessions.engine.steps import Block, Steps, call
from bff_sessions.exceptions import SessionBusy, SessionConflict, SessionMissing

__all__ = ["ExclusiveSession"]


class ExclusiveSession(SessionLifecycle):
    def exclusive(self, *, timeout: float = 20, seconds: float = 15) -> Block:
        """Have the session to oneself: for what may be done once only, and cannot be merged.

        Use as ``with request.session.exclusive():`` or ``async with``, around the use of a
        refresh token that the provider rotates, for one. Others that enter such a block wait;
        loads and saves of others do not, and merge. On entry the session is read again. On exit
        what changed is saved at once, also after an exception: what the provider did is done.

        Args:
            timeout: how long to wait for others, in seconds.
            seconds: when others get it even so, because whoever had it died.

        Raises (on entry):
            SessionBusy: if `timeout` is over.
            SessionInterrupted: if the session has ended (on exit, too).
            RuntimeError: inside a transaction, whose end nobody knows.
        """
        owner = secrets.token_hex(16)
        return Block(
            lambda: self._begin_exclusive(owner, timeout, seconds),
            lambda: self._end_exclusive(owner),
        )

    def _begin_exclusive(self, owner: str, timeout: float, seconds: float) -> Steps[None]:
        deadline = time.monotonic() + timeout
        pause = 0.01
        if self._known is None and conf.TAKE_OVER is not None:
            # Where the engine of before still has it, there is nothing yet to lease.
            yield from self._get_data()
        while self._session_key is not None:
            try:
                if (yield call("acquire_lease", self.store_key, owner, seconds)):
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
        except (SessionMissing, SessionConflict):
            yield from self._release(owner)
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
        try:
            data = yield from self._get_data()
            known = self._known
            if data if known is None else not self._holds(known, data):
                yield from self._save(False)
        except Exception as error:  # Who is cancelled takes no more steps, see Block.around().
            yield from self._release(owner)
            if isinstance(error, UpdateError):
                raise SessionInterrupted(str(error)) from None
            raise
        yield from self._release(owner)

    def _release(self, owner: str) -> Steps[None]:
        if self._session_key is not None:
            yield call("release_lease", self.store_key, owner)
