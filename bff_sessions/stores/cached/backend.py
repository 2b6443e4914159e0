"""A cache of Django's that may fail: its faults are logged and not raised."""

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

logger = logging.getLogger("bff_sessions.cache")

# Seconds for which readers do not use a cache that has failed.
_PAUSE = 1.0
# Seconds for which the same message is not logged again.
_QUIET = 60.0
# Caches whose set_many() raises unless it has written everything, and the dummy cache, which never
# serves anything. Other caches may hide a fault: DatabaseCache, django-redis with
# IGNORE_EXCEPTIONS, pymemcache with ignore_exc, and perhaps subclasses of these.
_RAISE_FAULTS = (LocMemCache, FileBasedCache, DummyCache)


class Cache:
    """The cache `alias` of settings.CACHES. Its faults cost speed and a log line, no more."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._said: dict[str, float] = {}

    @property
    def is_away(self) -> bool:
        """True for a moment after a fault, so that readers do not wait for the cache."""
        return time.monotonic() < self._away_until

    def get(self, names: Sequence[str]) -> Mapping[str, Any] | None:
        """Return the values under `names`, in one round trip; None after a fault of the cache."""
        if self.is_away:
            return None
        try:
            return get_many(self._cache, names)
        except Exception as error:
            self._fail(error)
            return None

    def set(self, values: dict[str, int], lifetime: int) -> bool:
        """Write all `values` for `lifetime` seconds. Return whether the cache certainly has them.

        After False, if the cache is not away, it has other values: perhaps of a later writer.
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
        """Write `value` unless the cache has one under `name`; `replaces` deletes that first."""
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
        """Log `message` about this cache, unless it was logged within the last minute."""
        now = time.monotonic()
        with self._lock:
            if now < self._said.get(message, now):
                return
            self._said[message] = now + _QUIET
        logger.log(level, message, self.alias, *args)

    @property
    def _cache(self) -> BaseCache:
        return caches[self.alias]  # Django has an instance for each thread.

    def _pause(self) -> None:
        self._away_until = time.monotonic() + _PAUSE

    def _fail(self, error: Exception) -> None:
        self._pause()
        self.say(
            logging.WARNING,
            "The cache %r fails (%s): sessions are read from the store.",
            type(error).__name__,  # The text is the cache's own, and may contain names or values.
        )


def _set_many(cache: BaseCache, values: dict[str, int], lifetime: int) -> bool | None:
    """Write `values`. Return True if the cache certainly has them, and None if it failed.

    False means that it has other values, perhaps of a later writer. A fault that a cache hides
    looks like success. So the values are read back, except from classes that raise on faults.
    """
    if cache.set_many(values, lifetime):
        return None  # set_many() returns the names that it could not write.
    if type(cache) in _RAISE_FAULTS or keeps_one_pool(cache):
        return True
    found = cache.get_many(values)
    return found == values if found else None
