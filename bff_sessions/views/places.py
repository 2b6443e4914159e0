"""Bounds for the streams of ``GET events`` in this process."""

from __future__ import annotations

import threading
from typing import Final
from weakref import WeakSet, WeakValueDictionary


class Place:
    """The place of one stream, which gives it back by leave(), or when it is garbage.

    A middleware that fails drops a response without closing it.
    """

    def __init__(self, taken: WeakSet[Place]) -> None:
        self._taken = taken
        taken.add(self)

    def leave(self) -> None:
        """Give the place back, if that has not happened."""
        self._taken.discard(self)


class Places:
    """Counts the streams that share a name, such as the ID of a sign-in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A name is forgotten with its last place.
        self._taken: WeakValueDictionary[str, WeakSet[Place]] = WeakValueDictionary()

    def take(self, name: str, limit: int) -> Place | None:
        """Return a place; None if `limit` are taken."""
        # Garbage may be collected in this block, too: so nobody waits for the lock to leave.
        with self._lock:
            taken = self._taken.get(name)
            if taken is None:
                taken = self._taken[name] = WeakSet()
            return Place(taken) if len(taken) < limit else None


of_session: Final = Places()
of_threads: Final = Places()
