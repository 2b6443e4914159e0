"""One of Django's caches, as the store in front of which it stands uses it: it may fail."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

from bff_sessions._compat.django_redis_cache import get_many, keeps_one_pool

__all__ = ["Cache"]

logger = logging.getLogger("bff_sessions.cache")

# For so many seconds readers leave a cache alone that has failed ...
_PAUSE = 1.0
# ... and the log does not say the same again.
_QUIET = 60.0
# Caches whose set_many() raises if it has not written everything. (Nothing is ever served from a
# dummy.) Any other may hide a fault: DatabaseCache does, and so do django-redis with
# IGNORE_EXCEPTIONS, pymemcache with ignore_exc, and perhaps a subclass of these.
_RAISE_FAULTS = (LocMemCache, FileBasedCache, DummyCache)


class Cache:
    """The cache `alias` of settings.CACHES. A fault of it costs speed and a line in the log."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._said: dict[str, float] = {}

    @property
    def is_away(self) -> bool:
        """Whether it has failed a moment ago, so that readers do not wait for it."""
        return time.monotonic() < self._away_until

    def get(self, names: Sequence[str]) -> Mapping[str, Any] | None:
        """What is there under `names`, in one round trip; None if the cache fails, or just did."""
        if self.is_away:
            return None
        try:
            return get_many(self._cache, names)
        except Exception as error:
            self._fail(error)
            return None

    def set(self, values: dict[str, int], lifetime: int) -> bool:
        """Write all `values` for `lifetime` seconds. Return whether that is certain.

        If not, and the cache is not away, it holds others: another writer may have been later.
        """
        try:
            is_written = _set_many(self._cache, values, lifetime)
        except Exception as error:
            self._fail(error)
            return False
        if is_written is None:
            self._pause()
        return bool(is_written)

    def add(self, name: str, value: bytes, lifetime: int, *, replaces: bool) -> None:
        """Write `value` unless something is there; if `replaces`, what is there goes first."""
        try:
            if replaces:
                self._cache.delete(name)
            self._cache.add(name, value, lifetime)
        except Exception as error:
            self._fail(error)

    def delete(self, names: Collection[str]) -> None:
        try:
            self._cache.delete_many(names)
        except Exception as error:
            self._fail(error)

    def say(self, level: int, message: str, *args: object) -> None:
        """Log `message` about this cache, unless that was done within the last minute."""
        now = time.monotonic()
        with self._lock:
            if now < self._said.get(message, now):
                return
            self._said[message] = now + _QUIET
        logger.log(level, message, self.alias, *args)

    @property
    def _cache(self) -> BaseCache:
        return caches[self.alias]  # The one of this thread.

    def _pause(self) -> None:
        self._away_until = time.monotonic() + _PAUSE

    def _fail(self, error: Exception) -> None:
        self._pause()
        self.say(
            logging.WARNING,
            "The cache %r fails (%s): sessions are read from the store.",
            type(error).__name__,  # Its text is a stranger's, and may hold keys.
        )


def _set_many(cache: BaseCache, values: dict[str, int], lifetime: int) -> bool | None:
    """Write `values`. Return True if it is certain that the cache holds them, None if it fails.

    A fault that the cache hides looks like success, so what it holds is read back, but for
    classes that are known to raise. False: it holds others, perhaps of a writer that was later.
    """
    if cache.set_many(values, lifetime):
        return None  # The names that it could not write.
    if type(cache) in _RAISE_FAULTS or keeps_one_pool(cache):
        return True
    found = cache.get_many(values)
    return found == values if found else None
