"""The marks by which writers invalidate entries, and those that they could not write yet."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from bff_sessions.stores.cached.backend import Cache
from bff_sessions.stores.cached.entries import mark_name

_CLOSED: Final = 0
"""The tombstone. Any other mark is the number of a write."""

# Seconds. Servers end a request after 30 to 60 seconds by default.
_LONGEST_REQUEST = 300
# The most marks that a process could not write and remembers, so that its memory is bounded.
_MAX_OWED = 10_000


def is_closed(mark: object) -> bool:
    """Return whether `mark` is closed. A value that is not a mark counts as closed."""
    return mark is not None and (type(mark) is not int or mark == _CLOSED)


def _tombstone() -> int:
    return _CLOSED


def _number() -> int:
    return secrets.randbits(62) + 1


class Marks:
    """The marks of all sessions.

    Args:
        cache: where the marks are written.
        max_stale: seconds for which an entry may be served.
    """

    def __init__(self, cache: Cache, max_stale: float) -> None:
        self._cache = cache
        self.max_stale = max_stale
        self._lock = threading.Lock()
        self._owed: dict[str, float] = {}

    def close(self, keys: Collection[str]) -> bool:
        """Close the marks of `keys`. Return whether the cache has them.

        If not, the marks are owed: a later call of any method tries to write them again.
        """
        return self._mark(keys, _tombstone)

    def number(self, key: str) -> bool:
        """Set a new number for the last write. Return whether the cache has it, see close()."""
        return self._mark([key], _number)

    def is_owed(self, key: str) -> bool:
        """Return whether this process could not write the mark of `key` yet."""
        if not self._owed:
            return False
        if not self._cache.is_away:
            self._pay()
        return key in self._owed

    def _mark(self, keys: Collection[str], make: Callable[[], int]) -> bool:
        if not keys:
            return True
        if self._write(keys, make):
            if self._owed:
                self._pay()
            return True
        with self._lock:
            self._owed |= dict.fromkeys(keys, time.monotonic() + self.max_stale)
            for key in list(self._owed)[:-_MAX_OWED]:
                del self._owed[key]
        return False

    def _write(self, keys: Collection[str], make: Callable[[], int]) -> bool:
        lifetime = int(self.max_stale) + _LONGEST_REQUEST
        for _ in range(2):
            # Make a new number for each try: entries with the first one may be out of date.
            if self._cache.set({mark_name(key): make() for key in keys}, lifetime):
                return True
            if self._cache.is_away:
                break
        return False

    def _pay(self) -> None:
        """Try again to write the owed marks, until no entry is fresh enough to be served."""
        now = time.monotonic()
        with self._lock:
            self._owed = {key: end for key, end in self._owed.items() if end > now}
            owed = dict(self._owed)
        if owed and self._write(owed, _tombstone):
            with self._lock:
                for key, end in owed.items():
                    if self._owed.get(key) == end:
                        del self._owed[key]
