"""Clean up expired sessions, and repair what a crash or a lost server has left."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Final

from bff_sessions.contract import AnyType, DeletedSession, OnEnding
from bff_sessions.sansio import Steps, run
from bff_sessions.stores.redis import hints, names, scripts
from bff_sessions.stores.redis.commands import Command, script_of
from bff_sessions.stores.redis.deletion import Deletion
from bff_sessions.stores.redis.link import OTHER, Link

logger = logging.getLogger("bff_sessions.store")

# Seconds after which a delete that has closed a session counts as interrupted.
_INTERRUPTED: Final = 60
_PAGE: Final = 500


def delete_expired(
    link: Link, limit: int, now: datetime, partition: str | AnyType, on_ending: OnEnding | None
) -> Steps[list[DeletedSession]]:
    """Delete up to `limit` sessions that have expired at `now`."""

    def has_expired(session: DeletedSession) -> bool:
        return session.expires is not None and session.expires <= now

    deletion, lost = Deletion(link, on_ending, has_expired, must_be_same=True), 0
    for name in link.names.spread("expiring"):
        skipped = 0
        while (left := limit - len(deletion.deleted)) > 0:
            due = yield from _read_due(link, name, now.timestamp(), skipped, min(left, _PAGE))
            if not due:
                break
            of_partition = {key: hint for key, hint in due.items() if names.is_of(hint, partition)}
            done = len(deletion.deleted)
            yield from deletion.end(of_partition)
            deletion.check_confirmed()
            ended = {session.key for session in deletion.deleted[done:]}
            others = {key: hint for key, hint in of_partition.items() if key not in ended}
            corrected, gone = yield from _correct(link, name, others, now)
            skipped += len(due) - len(ended) - corrected
            lost += gone
    if lost:
        logger.error(
            "The server has deleted expired sessions (%d) before this clean-up, and with them "
            "refresh tokens that were not revoked: clean up more often, or set a longer GRACE.",
            lost,
        )
    return deletion.deleted


def count_expired(link: Link, now: datetime, partition: str | AnyType) -> Steps[int]:
    """Return how many sessions delete_expired() would delete."""
    number = 0
    for name in link.names.spread("expiring"):
        start = 0
        while due := (yield from _read_due(link, name, now.timestamp(), start, _PAGE)):
            start += len(due)
            keys = [key for key, hint in due.items() if names.is_of(hint, partition)]
            sessions = yield from hints.read(link, keys, with_tickets=False)
            number += sum(session is not None and session.has_expired(now) for session in sessions)
    return number


def finish_deletes(link: Link, on_ending: OnEnding | None) -> Steps[list[DeletedSession]]:
    """Finish the deletes that a crash has interrupted. Return the sessions that this removed."""
    deletion = Deletion(link, on_ending)
    for name in link.names.spread("closed"):
        before = time.time() - _INTERRUPTED
        while due := (yield from _read_due(link, name, before, 0, _PAGE)):
            closed = yield from link.send(
                [("HEXISTS", link.names.session(key), "closed") for key in due]
            )
            yield from deletion.end_with_moved(
                [key for key, is_closed in zip(due, closed, strict=True) if is_closed]
            )
            deletion.check_confirmed()
            # Not the hint at a session that another delete has just closed again.
            yield from link.send(
                [script_of(scripts.FORGET, name, before, hint) for hint in due.values()]
            )
    return deletion.deleted


def reindex(link: Link) -> int:
    """Write the hints at all sessions. Return how many sessions there are."""
    number = 0
    scanned = iter(link.scan())
    while some := list(islice(scanned, _PAGE)):
        sessions = run(hints.read(link, map(link.names.key, some), with_tickets=False))
        found = [session for session in sessions if session is not None]
        run(
            link.send(
                [c for one in found for c in hints.to_write(link, one.key, one.partition, one)]
            )
        )
        number += len(found)
    return number


def _read_due(
    link: Link, name: bytes, moment: float, start: int, number: int
) -> Steps[dict[str, bytes]]:
    """Return the hints up to `moment` in the set `name`, by their store keys."""
    due = yield from link.ask("ZRANGEBYSCORE", name, "-inf", moment, "LIMIT", start, number)
    return {names.key_of(hint): hint for hint in due}


def _correct(
    link: Link, name: bytes, due: Mapping[str, bytes], now: datetime
) -> Steps[tuple[int, int]]:
    """Correct the hints in `due`, whose sessions have not expired.

    Return how many were corrected, and how many of them the server has deleted.
    """
    commands: list[Command] = []
    sessions = yield from hints.read(link, due, with_tickets=False)
    scores = yield from link.send([("ZSCORE", name, hint) for hint in due.values()])
    lost = 0
    for hint, session, score in zip(due.values(), sessions, scores, strict=True):
        if session is None:
            # Before that, the session may be about to be created.
            if score not in (None, OTHER) and float(score) + link.grace <= now.timestamp():
                commands.append(("ZREM", name, hint))
                lost += 1
        elif session.expires is None:
            commands.append(("ZREM", name, hint))
        elif not session.has_expired(now):
            commands.append(("ZADD", name, "XX", session.expires.timestamp(), hint))
    yield from link.send(commands)
    return len(commands), lost
