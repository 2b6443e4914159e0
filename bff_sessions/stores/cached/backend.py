"""A cache of Django's that may fail: its faults are logged and not raised."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

from bff_sessions._compat.django_redis_cache import ConnectionLost, Link, Sent, link_of

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
        self._linked: tuple[object, Link | None] = None, None

    @property
    def is_away(self) -> bool:
        """True for a moment after a fault, so that readers do not wait for the cache."""
        return time.monotonic() < self._away_until

    def get(self, names: Sequence[str]) -> Mapping[str, Any] | None:
        """Return the values under `names`, in one round trip; None after a fault of the cache."""
        if self.is_away:
            return None
        try:
            link = self._link
            return self._cache.get_many(names) if link is None else link.get_many(names)
        except Exception as error:
            self._fail(error)
            return None

    def tell(
        self, values: Mapping[str, int], lifetime: int, *, forget: Sequence[str] = ()
    ) -> Message:
        """Send `values` for `lifetime` seconds, and delete what is under the names `forget`.

        If the cache can answer later, do not wait for the answer.
        """
        message = Message(self, lifetime)
        if not values:
            message.has_arrived = True
            return message
        try:
            link = self._link
            if link is None:
                message.has_arrived = self._write(values, lifetime)
                self._cache.delete_many(forget)
            else:
                message.sent = link.send(*link.setting(values, lifetime), *link.deleting(forget))
        except Exception as error:
            self._fail(error)
        return message

    def put(self, name: str, value: bytes, lifetime: int) -> None:
        """Write `value` under `name`. Do not wait for the answer if it can be read later."""
        try:
            link = self._link
            if link is None:
                self._cache.set(name, value, lifetime)
            else:
                link.post(*link.setting({name: value}, lifetime))
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

    @property
    def _link(self) -> Link | None:
        configured, link = self._linked
        if configured is not settings.CACHES:
            link = link_of(self._cache)
            self._linked = settings.CACHES, link
        return link

    def _write(self, values: Mapping[str, int], lifetime: int) -> bool:
        """Write `values`. Return whether the cache certainly has them.

        A fault that a cache hides looks like success. So the values are read back, except from
        classes that raise on faults.
        """
        cache = self._cache
        has_failed = cache.set_many(dict(values), lifetime)  # The names that it could not write.
        raises = type(cache) in _RAISE_FAULTS or getattr(cache, "is_redis_cluster", False)
        if raises and not has_failed:
            return True
        found = {} if has_failed else cache.get_many(values)
        if not found:
            self._pause()
        return found == values

    def _pause(self) -> None:
        self._away_until = time.monotonic() + _PAUSE

    def _fail(self, error: Exception) -> None:
        self._pause()
        self.say(
            logging.WARNING,
            "The cache %r fails (%s): sessions are read from the store.",
            type(error).__name__,  # The text is the cache's own, and may contain names or values.
        )


class Message:
    """What a writer tells the cache: before its write, and perhaps more after the commit."""

    def __init__(self, cache: Cache, lifetime: int) -> None:
        self._cache = cache
        self._lifetime = lifetime
        self.sent: Sent | None = None
        self.has_arrived = False

    def confirm(self, more: Mapping[str, int] | None = None) -> bool:
        """Send `more` values. Return whether the cache certainly has what was sent last.

        After False, if the cache is not away, another try may succeed: it has values of a later
        writer, or has closed the connection.
        """
        sent, self.sent = self.sent, None
        if sent is not None:
            self.has_arrived = self._read(sent, more or {})
        elif more:
            self.has_arrived = self._cache.tell(more, self._lifetime).confirm()
        return self.has_arrived

    def _read(self, sent: Sent, more: Mapping[str, int]) -> bool:
        try:
            sent.read(*sent.link.setting(more, self._lifetime))
        except ConnectionLost:
            return False
        except Exception as error:
            self._cache._fail(error)
            return False
        return True
