"""Writes: they close marks before the write, and close or number them after its commit."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

from bff_sessions.contract import UserSessionStore
from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.stores.cached.backend import Cache, logger
from bff_sessions.stores.cached.entries import entry_name
from bff_sessions.stores.cached.invalidation import Marks


class Writer:
    """Invalidates entries around the writes of the inner store."""

    def __init__(self, inner: UserSessionStore, cache: Cache, marks: Marks) -> None:
        self._inner = inner
        self._cache = cache
        self._marks = marks

    @contextmanager
    def changing(self, key: str) -> Iterator[None]:
        """Surround a write that changes the session or moves it."""
        self._marks.close([key])
        with self.doubting(key):
            yield

    @contextmanager
    def doubting(self, key: str) -> Iterator[None]:
        """Surround a call that may find that the caller's session is out of date."""
        try:
            yield
        except (SessionChanged, SessionMissing):
            # The caller reads the session again, and must see the other request's change. Until
            # its commit, that request's mark may still allow the old entry.
            self._marks.close([key])
            raise

    def changed(self, key: str) -> None:
        """Allow the session to be cached again after the write is committed."""
        self._inner.on_commit(partial(self._number, key))

    @contextmanager
    def ending(self, keys: Collection[str]) -> Iterator[None]:
        """Surround a delete. Sessions that it deletes besides may be added to `keys` inside."""
        self._marks.close(keys)
        try:
            yield
        finally:
            self.ended(keys)

    def ended(self, keys: Collection[str]) -> None:
        """Invalidate the entries of deleted sessions after the delete is committed."""
        self._inner.on_commit(partial(self._end, keys))

    def _number(self, key: str) -> None:
        if not self._marks.number(key):
            self._cache.say(
                logging.ERROR,
                "The cache %r could not be invalidated for a session that changed. This is tried "
                "again; for up to %s seconds, other processes may serve the session as it was.",
                self._marks.max_stale,
            )

    def _end(self, keys: Collection[str]) -> None:
        if self._marks.close(keys):
            # The closed marks suffice. This frees memory.
            self._cache.delete([entry_name(key) for key in keys])
        else:
            # Logged each time: the caller reports that these sessions have ended.
            logger.error(
                "The cache %r could not be invalidated for ended sessions (%d). The store tries "
                "again; for up to %s seconds, other processes may serve them.",
                self._cache.alias,
                len(keys),
                self._marks.max_stale,
            )
