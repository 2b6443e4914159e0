"""What writers tell the cache: before they write, and after the commit."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from typing import Final

from bff_sessions.stores.cached.backend import Message
from bff_sessions.stores.cached.entries import entry_name, mark_name, tombstone_name
from bff_sessions.stores.cached.invalidation import CLOSED, Marks

_TOMBSTONE: Final = 1
# Seconds between a tombstone and the commit, after which the tombstone is written again.
_SOON: Final = 1.0


class Change:
    """A session that a writer changes. The cache closes its mark while the store writes.

    Args:
        closes: whether the cache is told before the write, too.
    """

    def __init__(self, marks: Marks, key: str, *, closes: bool = True) -> None:
        self._marks = marks
        self._key = key
        self._name = mark_name(key)
        self._doubts = marks.doubts(key)
        self._message = marks.tell({self._name: CLOSED} if closes else {})

    def settle(self) -> None:
        """Wait until the cache has what it was told, if the commit is yet to come."""
        if not self._message.confirm():
            self._marks.owe([self._key])

    def number(self) -> bool:
        """Set a new number after the commit. Return whether the cache has it."""
        is_told = self._marks.insist(self._try_to_number, [self._key])
        if is_told:
            self._marks.trust(self._doubts)
        return is_told

    def _try_to_number(self) -> bool:
        # A new number for each try: entries with the first one may be out of date.
        return self._message.confirm({self._name: secrets.randbits(62) + 1})


class Ending:
    """Sessions that a writer ends or moves. The cache buries them while the store writes."""

    def __init__(self, marks: Marks, keys: Collection[str]) -> None:
        self._marks = marks
        self._keys = frozenset(keys)
        self._began = time.monotonic()
        self._is_settled = False
        self._message = self._bury(self._keys)

    def settle(self) -> None:
        """See Change.settle()."""
        self._is_settled = True
        if not self._message.confirm():
            self._marks.owe(self._keys)

    def end(self, keys: Collection[str]) -> bool:
        """Say after the commit that `keys` have ended. Return whether the cache knows that.

        If the commit follows the write at once, the cache has been told of its tombstones: a late
        writer cannot remove them. Otherwise they may have expired or been lost since then.
        """
        return self._marks.insist(lambda: self._is_buried(keys) or self._try_to_bury(keys), keys)

    def _is_buried(self, keys: Collection[str]) -> bool:
        is_new = not self._is_settled and time.monotonic() - self._began < _SOON
        return is_new and self._keys.issuperset(keys) and self._message.confirm()

    def _try_to_bury(self, keys: Collection[str]) -> bool:
        self._message = self._bury(keys)
        return self._message.confirm()

    def _bury(self, keys: Collection[str]) -> Message:
        tombstones = {tombstone_name(key): _TOMBSTONE for key in keys}
        return self._marks.tell(tombstones, forget=[entry_name(key) for key in keys])
