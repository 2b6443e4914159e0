"""The sessions that this process reads from the store, because the cache may have old entries."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import Final

from bff_sessions.stores.cached.backend import Cache, Message
from bff_sessions.stores.cached.entries import mark_name

CLOSED: Final = 0
"""The mark of a session that is being written. Any other mark is the number of a write."""

# Seconds. Servers end a request after 30 to 60 seconds by default.
_LONGEST_REQUEST = 300
# The most sessions that a process remembers, so that its memory is bounded.
_MAX_REMEMBERED = 10_000


def is_closed(mark: object) -> bool:
    """Return whether `mark` is closed. A value that is not a mark counts as closed."""
    return mark is not None and (type(mark) is not int or mark == CLOSED)


class Marks:
    """Writes marks and tombstones, and remembers what it could not write.

    Args:
        cache: where they are written.
        max_stale: seconds for which an entry may be served.
    """

    def __init__(self, cache: Cache, max_stale: float) -> None:
        self._cache = cache
        self.max_stale = max_stale
        # One second more for the time between a tombstone and the commit.
        self.lifetime = math.ceil(max_stale) + _LONGEST_REQUEST + 1
        self._owed = _Memory(max_stale)
        self._doubted = _Memory(max_stale)

    def tell(self, values: Mapping[str, int], *, forget: Sequence[str] = ()) -> Message:
        """Send `values`, and delete what is under the names `forget`; see Cache.tell()."""
        return self._cache.tell(values, self.lifetime, forget=forget)

    def insist(self, tell: Callable[[], bool], keys: Collection[str]) -> bool:
        """Call `tell`, once more if it fails and may succeed then. Return whether it succeeded.

        If not, the marks of `keys` are owed: a later call of any method tries to close them.
        """
        if tell() or (not self._cache.is_away and tell()):
            self._pay()
            return True
        self.owe(keys)
        return False

    def owe(self, keys: Collection[str]) -> None:
        """Remember that the cache could not be told of `keys`."""
        self._owed.add(keys)

    def doubt(self, key: str) -> None:
        """Remember that another request has written `key`, and may not have told the cache yet."""
        self._doubted.add([key])

    def doubts(self, key: str) -> Mapping[str, float]:
        """Return what `trust` needs to remove the present doubt."""
        return self._doubted.get([key])

    def trust(self, doubts: Mapping[str, float]) -> None:
        """Remove `doubts` that are older than a write of which the cache has been told."""
        self._doubted.remove(doubts)

    def must_read_store(self, key: str) -> bool:
        """Return whether the cache may have an entry of `key` that this process knows to be old."""
        if not self._cache.is_away:
            self._pay()
        return key in self._owed or key in self._doubted

    def _pay(self) -> None:
        """Try again to close the owed marks."""
        owed = self._owed.get_all()
        if owed and self.tell({mark_name(key): CLOSED for key in owed}).confirm():
            self._owed.remove(owed)


class _Memory:
    """Store keys, each until no entry from before is fresh enough to be served."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        return bool(self._ends) and self._ends.get(key, 0.0) > time.monotonic()

    def get(self, keys: Collection[str]) -> dict[str, float]:
        """Return which of `keys` it has, with their ends."""
        ends = self._ends
        return {key: ends[key] for key in keys if key in ends} if ends else {}

    def get_all(self) -> dict[str, float]:
        if not self._ends:
            return {}
        with self._lock:
            now = time.monotonic()
            # The oldest are first.
            for key in list(takewhile(lambda key: self._ends[key] <= now, self._ends)):
                del self._ends[key]
            return dict(self._ends)

    def add(self, keys: Collection[str]) -> None:
        self.get_all()  # Removes what has ended.
        with self._lock:
            for key in keys:
                self._ends.pop(key, None)
                self._ends[key] = time.monotonic() + self._seconds
            if len(self._ends) > _MAX_REMEMBERED:
                for key in list(self._ends)[:-_MAX_REMEMBERED]:
                    del self._ends[key]

    def remove(self, ends: Mapping[str, float]) -> None:
        """Remove what get() returned, unless it was added again meanwhile."""
        with self._lock:
            for key, end in ends.items():
                if self._ends.get(key) == end:
                    del self._ends[key]
