"""Delete sessions, in steps. The package says why hints are read again."""

from __future__ import annotations

from bff_sessions.contract import DeletedSession, OnEnding, UserSessionsFilter
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis import hints
from bff_sessions.stores.redis.deletion import Deletion
from bff_sessions.stores.redis.link import Link


def delete_session(
    link: Link, key: str, on_ending: OnEnding | None, *, buries: bool = False
) -> Steps[bool]:
    """Delete the session under `key`, also if it moves to another key meanwhile.

    Args:
        link: the way to Redis.
        key: the store key.
        on_ending: see `OnEnding`.
        buries: whether to leave a tombstone if there is no session.
    """
    deletion = Deletion(link, on_ending)
    yield from deletion.end_with_moved([key], buries=buries)
    deletion.check_confirmed()
    return bool(deletion.deleted)


def delete_sessions(
    link: Link, filter: UserSessionsFilter, on_ending: OnEnding | None
) -> Steps[list[DeletedSession]]:
    """Delete all sessions that match."""
    deletion = Deletion(link, on_ending, filter.matches)
    settled: set[str] = set()
    while True:
        found = yield from hints.find(link, filter)
        new = {key: hint for key, hint in found.items() if key not in settled}
        if not new:
            break
        yield from deletion.end((yield from hints.narrow(link, filter, new)), buries=True)
        settled |= new.keys()
    deletion.check_confirmed()
    return deletion.deleted
