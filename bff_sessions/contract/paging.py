"""Pages of sessions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bff_sessions.contract.cursors import Position, read_cursor, write_cursor
from bff_sessions.contract.sessions import UserSession


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSessionsPage:
    """Some of the sessions that match a filter."""

    sessions: list[UserSession]
    """The sessions, each with an empty ticket."""
    next_cursor: str | None
    """The cursor for the next call of query_user_sessions(); None on the last page."""


class Paging:
    """Checks the arguments of query_user_sessions(), and builds its page.

    Args:
        store: a name for the store; a cursor of another store is refused.
        cursor: the `next_cursor` of the previous page; None for the first page.
        limit: the most sessions on the page.

    Raises:
        ValueError: if `cursor` is not a cursor of this store, or `limit` is not 1 to 1,000.
    """

    def __init__(self, store: str, cursor: str | None, limit: int) -> None:
        if limit not in range(1, 1001):
            raise ValueError(f"limit must be a whole number from 1 to 1,000; it is {limit!r}.")
        self._store = store
        self._limit = limit
        self.after = None if cursor is None else read_cursor(store, cursor)
        """The position after which the page begins; None for the first page."""

    @property
    def rows(self) -> int:
        """How many sessions to read: one more than the page shows, to know if a page follows."""
        return self._limit + 1

    def page(self, found: Iterable[tuple[Position, UserSession | None]]) -> UserSessionsPage:
        """Return the newest of `found` that follow the cursor, in order and without tickets.

        Args:
            found: the sessions with their positions; None for one that cannot be read, which takes
                up a place on the page and is not shown.
        """
        following = (one for one in found if self.after is None or one[0] < self.after)
        newest = heapq.nlargest(self.rows, following, key=lambda one: one[0])
        shown = newest[: self._limit]
        has_more = len(newest) > len(shown)
        return UserSessionsPage(
            sessions=[replace(session, ticket=b"") for _, session in shown if session is not None],
            next_cursor=write_cursor(self._store, shown[-1][0]) if has_more else None,
        )


def with_positions(
    sessions: Iterable[UserSession],
) -> Iterator[tuple[Position, UserSession | None]]:
    """Yield each session with its position, for a store that does not number its sessions.

    Sessions that have moved are left out: they are listed under their other key.
    """
    for session in sessions:
        if not session.is_moved:
            yield Position(session.created, session.public_id.encode()), session
