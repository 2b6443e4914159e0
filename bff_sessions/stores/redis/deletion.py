"""One call of a verb that deletes, in steps. The package says why tombstones are left."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bff_sessions.contract import DeletedSession, OnEnding
from bff_sessions.exceptions import RevocationUnconfirmed
from bff_sessions.sansio import Steps, in_thread
from bff_sessions.stores.redis import hints, layout, names, scripts
from bff_sessions.stores.redis.commands import script_of
from bff_sessions.stores.redis.link import Link

# Milliseconds of a tombstone. Servers end a request after 30 to 60 seconds by default.
_TOMBSTONE: Final = 300_000
# Milliseconds for which a closed session keeps its ticket if its delete was interrupted.
_CLOSED: Final = 86_400_000
_BATCH: Final = 500


class Deletion:
    """One call of a verb that deletes.

    Args:
        link: the way to Redis.
        on_ending: see `OnEnding`.
        matches: which of the sessions to delete.
        must_be_same: delete only sessions, and none that was renewed since `matches` was asked.
    """

    def __init__(
        self,
        link: Link,
        on_ending: OnEnding | None,
        matches: Callable[[DeletedSession], bool] = lambda session: True,
        *,
        must_be_same: bool = False,
    ) -> None:
        self._link = link
        self._on_ending = on_ending
        self._matches = matches
        self._must_be_same = must_be_same
        self._id = secrets.token_hex(8)
        self._is_confirmed = True
        self.deleted: list[DeletedSession] = []
        self.moved: set[str] = set()
        """The store keys to which deleted sessions were moving."""

    def check_confirmed(self) -> None:
        """Check that enough replicas have confirmed.

        Raises:
            RevocationUnconfirmed: if not.
        """
        if not self._is_confirmed:
            raise RevocationUnconfirmed(self.deleted)

    def end(self, keys: Collection[str], *, buries: bool = False) -> Steps[None]:
        """End the sessions under the store keys `keys`.

        Args:
            keys: the store keys.
            buries: whether to leave a tombstone under a key that has no session.
        """
        left = list(keys)
        while left:
            # Sessions that have changed meanwhile are looked at again.
            left = (yield from self._end_batch(left[:_BATCH], buries=buries)) + left[_BATCH:]

    def end_with_moved(self, keys: Collection[str], *, buries: bool = False) -> Steps[None]:
        """End the sessions under `keys`, and those to which they are moving; see end()."""
        yield from self.end(keys, buries=buries)
        while self.moved:
            moved, self.moved = self.moved, set()
            yield from self.end(moved, buries=True)

    def _end_batch(self, keys: Sequence[str], *, buries: bool) -> Steps[list[str]]:
        """End the sessions under `keys`. Return the keys of those that have changed meanwhile."""
        link = self._link
        found = yield from self._choose(keys)
        results = dict(zip(found, (yield from self._end(found, buries=buries)), strict=True))
        ended: list[DeletedSession] = []
        for key, (status, *values) in results.items():
            one = found[key]
            if one.session is not None and status in (1, 2):
                *content, moved = values or (one.head, one.times, b"", None, None)
                session = layout.read_deleted(key, one.partition, *content)
                ended.append(session or one.session)
                if moved is not None:
                    self.moved.add(names.from_bytes(moved))
        if ended and self._on_ending is not None:
            ended = yield from self._announce(ended, self._on_ending)
        self.deleted += ended
        written = [
            script_of(scripts.KEEP, link.names.session(key), "tombstone", "closed")
            for key, (status, *_) in results.items()
            if status not in (0, -2)
        ]
        if (yield from link.confirm(written)):
            # Not before: if a failover brings the session back, a repetition must find it.
            yield from link.send([each for one in ended for each in hints.to_remove(link, one)])
        else:
            self._is_confirmed = False
        return [key for key, (status, *_) in results.items() if status == scripts.CHANGED]

    def _choose(self, keys: Sequence[str]) -> Steps[dict[str, _Found]]:
        """Return what is under those keys whose session matches, or that have none."""
        link = self._link
        fields = ("partition", "head", "times")
        read = yield from link.send([("HMGET", link.names.session(key), *fields) for key in keys])
        found = {
            key: _Found.of(key, *(values or (None,) * 3))
            for key, values in zip(keys, read, strict=True)
        }
        return {
            key: one
            for key, one in found.items()
            if (not self._must_be_same if one.session is None else self._matches(one.session))
        }

    def _end(self, found: Mapping[str, _Found], *, buries: bool) -> Steps[list[Any]]:
        link = self._link
        if self._on_ending is not None:
            now = time.time()
            closing = [one.session for one in found.values() if one.session is not None]
            yield from link.send(
                [
                    script_of(
                        scripts.CLOSING,
                        link.names.closed(one.key),
                        now,
                        names.write_hint(one.key, one.partition, one.issuer),
                    )
                    for one in closing
                ]
            )
        return (
            yield from link.send(
                [
                    script_of(
                        scripts.END,
                        link.names.session(key),
                        self._id,
                        one.head,
                        one.times if self._must_be_same else b"",
                        _CLOSED if self._on_ending and one.session else b"",
                        _TOMBSTONE,
                        b"1" if buries else b"",
                    )
                    for key, one in found.items()
                ]
            )
        )

    def _announce(
        self, closed: Sequence[DeletedSession], on_ending: OnEnding
    ) -> Steps[list[DeletedSession]]:
        """Call `on_ending`, and delete what is closed. Return what no other delete has taken."""
        link = self._link
        try:
            yield from in_thread(on_ending, closed)
        except GeneratorExit:  # No step is possible. Clean-up finishes the delete.
            raise
        except BaseException:
            reopen = (self._id, link.grace_millis)
            yield from link.send(
                [script_of(scripts.OPEN, link.names.session(one.key), *reopen) for one in closed]
            )
            raise
        finish = [
            script_of(scripts.FINISH, link.names.session(one.key), self._id, _TOMBSTONE)
            for one in closed
        ]
        results = yield from link.send(finish)
        return [one for one, is_own in zip(closed, results, strict=True) if is_own]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read under a key before its delete."""

    partition: bytes | None
    head: bytes
    times: bytes
    session: DeletedSession | None
    """None if there is none. If there is something else instead, the delete ends it, too."""

    @classmethod
    def of(
        cls, key: str, partition: bytes | None, head: bytes | None, times: bytes | None
    ) -> _Found:
        session = layout.read_deleted(key, partition, head, times, b"")
        return cls(partition, head or b"", times or b"", session)
