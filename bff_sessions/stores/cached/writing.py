"""Whom a write tells: the marks are closed before it, and say what it was once it is committed."""

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

__all__ = ["Writer"]


class Writer:
    """Surrounds writes of the store behind the cache."""

    def __init__(self, inner: UserSessionStore, cache: Cache, marks: Marks) -> None:
        self._inner = inner
        self._cache = cache
        self._marks = marks

    @contextmanager
    def changing(self, key: str) -> Iterator[None]:
        """Around a write after which the session is another, or elsewhere."""
        self._marks.close([key])
        with self.doubting(key):
            yield

    @contextmanager
    def doubting(self, key: str) -> Iterator[None]:
        """Around what may find the session other than the caller took it to be."""
        try:
            yield
        except (SessionChanged, SessionMissing):
            # Whoever changed it may have opened the mark too early for what the caller, who
            # reads again, must see now.
            self._marks.close([key])
            raise

    def changed(self, key: str) -> None:
        """Let the session be cached again, as it is once the write is committed."""
        self._inner.on_commit(partial(self._number, key))

    @contextmanager
    def ending(self, keys: Collection[str]) -> Iterator[None]:
        """Around a delete of sessions; `keys` are looked at again after it."""
        self._marks.close(keys)
        try:
            yield
        finally:
            self.ended(keys)

    def ended(self, keys: Collection[str]) -> None:
        """Tell that no session is there any more, once that is committed."""
        self._inner.on_commit(partial(self._end, keys))

    def _number(self, key: str) -> None:
        if not self._marks.number(key):
            self._cache.say(
                logging.ERROR,
                "The cache %r could not be told of a session that changed. It will be tried "
                "again; for up to %s seconds, others may be served what it was before.",
                self._marks.max_stale,
            )

    def _end(self, keys: Collection[str]) -> None:
        if self._marks.close(keys):
            # Nothing serves them any more; nor need they lie about.
            self._cache.delete([entry_name(key) for key in keys])
        else:
            # However often that is: somebody was promised that these have ended.
            logger.error(
                "The cache %r could not be told of %d session(s) that ended. It will be tried "
                "again; for up to %s seconds, others may be served what they were before.",
                self._cache.alias,
                len(keys),
                self._marks.max_stale,
            )
