"""Writes: they close marks before the write, and number them after its commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from bff_sessions.contract import UserSessionStore
from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.stores.cached.backend import Cache, logger
from bff_sessions.stores.cached.invalidation import Marks
from bff_sessions.stores.cached.notices import Change, Ending


class Writer:
    """Invalidates entries around the writes of the inner store."""

    def __init__(self, inner: UserSessionStore, cache: Cache, marks: Marks) -> None:
        self._inner = inner
        self._cache = cache
        self._marks = marks

    @contextmanager
    def changing(self, key: str) -> Iterator[Callable[[], None]]:
        """Surround a write that changes the session. Call what it yields if it has changed."""
        change = Change(self._marks, key)
        try:
            with self.doubting(key):
                yield lambda: self._inner.on_commit(lambda: self._number(change))
        finally:
            change.settle()

    @contextmanager
    def ending(self, keys: Collection[str]) -> Iterator[None]:
        """Surround a delete. Sessions that it deletes besides may be added to `keys` inside."""
        ending = Ending(self._marks, keys)
        try:
            yield
        finally:
            # Also after an error, because some may have been deleted.
            self._inner.on_commit(lambda: self._end(ending, keys))
            ending.settle()

    @contextmanager
    def moving(self, key: str) -> Iterator[None]:
        """Surround a write that moves the session to another key."""
        ending = Ending(self._marks, [key])
        try:
            with self.doubting(key):
                yield
            self._inner.on_commit(lambda: self._end(ending, [key]))
        finally:
            ending.settle()

    @contextmanager
    def doubting(self, key: str) -> Iterator[None]:
        """Surround a call that may find that the caller's session is out of date."""
        try:
            yield
        except (SessionChanged, SessionMissing):
            # The caller reads the session again, and must see the other request's change. Until
            # that request has told the cache, a mark may still allow the old entry.
            self._marks.doubt(key)
            raise

    def changed(self, key: str) -> None:
        """Invalidate the entry of a session that was changed without changing()."""
        change = Change(self._marks, key, closes=False)
        self._inner.on_commit(lambda: self._number(change))

    def ended(self, keys: Collection[str]) -> None:
        """Invalidate the entries of sessions that were deleted without ending()."""
        ending = Ending(self._marks, ())
        self._inner.on_commit(lambda: self._end(ending, keys))

    def _number(self, change: Change) -> None:
        if not change.number():
            self._cache.say(
                logging.ERROR,
                "The cache %r could not be invalidated for a session that changed. This is tried "
                "again; for up to %s seconds, other processes may serve the session as it was.",
                self._marks.max_stale,
            )

    def _end(self, ending: Ending, keys: Collection[str]) -> None:
        if not ending.end(keys):
            # Logged each time: the caller reports that these sessions have ended.
            logger.error(
                "The cache %r could not be invalidated for ended sessions (%d). The store tries "
                "again; for up to %s seconds, other processes may serve them.",
                self._cache.alias,
                len(keys),
                self._marks.max_stale,
            )
