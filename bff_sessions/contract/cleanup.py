"""Clean-up: the deletion of expired sessions, in batches."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bff_sessions.contract.filters import ANY, AnyType
from bff_sessions.contract.pacing import EXCLUSIVE, MAX_BATCH_SIZE, Pace, delete_in_batches
from bff_sessions.contract.sessions import DeletedSession, OnEnding
from bff_sessions.contract.twins import twin_of

# The limit of a batch that is counted and not deleted. Databases accept it as a LIMIT.
_ALL: Final = 2**31 - 1


class Detail(enum.IntEnum):
    """How much a caller needs to know about the sessions that a batch deletes."""

    NUMBER = 0
    WITHOUT_TICKETS = 1
    TICKETS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpiredBatch:
    """A batch of expired sessions that were deleted."""

    number: int
    sessions: Sequence[DeletedSession] = ()
    """The deleted sessions, with at least the requested `Detail`."""
    since: datetime | None = None
    """When the first of them expired, for the next batch. None if the store does not use it."""


class UserSessionStoreCleanup(ABC):
    """The ability to delete expired sessions, which `cleanup_sessions` needs."""

    @property
    def cleanup_pace(self) -> Pace:
        """How much time a clean-up leaves to requests. By default, requests wait for each batch."""
        return EXCLUSIVE

    @abstractmethod
    def delete_expired_batch(
        self,
        limit: int,
        *,
        now: datetime,
        since: datetime | None = None,
        partition: str | AnyType = ANY,
        detail: Detail = Detail.TICKETS,
        on_ending: OnEnding | None = None,
    ) -> ExpiredBatch:
        """Delete up to `limit` sessions that have expired at `now`, in one transaction.

        Never delete a live session, or one that is renewed meanwhile. Several calls may run at the
        same time. A batch without a session ends the clean-up.

        Args:
            limit: the most sessions of the batch.
            now: a session has expired if its `expires` is not later.
            since: the `since` that the previous batch of this clean-up returned. No session
                expired earlier, so that a store may begin its search there.
            partition: the application whose sessions are deleted; `ANY` for all.
            detail: what the caller needs of the sessions. A store may return more.
            on_ending: called with the batch before its tickets are lost, see `OnEnding`.
        """

    def count_expired_sessions(self, *, partition: str | AnyType = ANY) -> int:
        """Return how many sessions a clean-up would delete.

        The default begins to delete all of them in one batch, and undoes that. Override it if your
        store can count.
        """
        return self._count(_ALL, datetime.now(UTC), partition)

    def has_expired_before(self, moment: datetime) -> bool:
        """Return whether a session is stored that expired before `moment`: clean-up is late.

        The default is like that of count_expired_sessions(), with a batch of one session.

        Args:
            moment: an aware datetime.
        """
        return self._count(1, moment, ANY) > 0

    ahas_expired_before = twin_of(has_expired_before)

    def _count(self, limit: int, now: datetime, partition: str | AnyType) -> int:
        number = 0

        def stop(batch: Sequence[DeletedSession]) -> None:
            nonlocal number
            number = len(batch)
            raise _NotDeletedError

        with suppress(_NotDeletedError):
            self.delete_expired_batch(limit, now=now, partition=partition, on_ending=stop)
        return number

    def delete_expired_sessions(
        self,
        *,
        batch_size: int = MAX_BATCH_SIZE,
        max_seconds: float | None = None,
        sleep: float | None = None,
        partition: str | AnyType = ANY,
        dry_run: bool = False,
        on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
        with_tickets: bool = True,
        on_ending: OnEnding | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Delete all sessions that have expired by now, in bounded batches; return how many.

        Args:
            batch_size: the most sessions in one transaction, 1 to 10,000. Slow batches are
                smaller.
            max_seconds: begin no batch later than this many seconds after the start.
            sleep: seconds between two batches. None pauses in proportion to the time that the
                last batch took.
            partition: the application whose sessions are deleted; `ANY` for all.
            dry_run: delete nothing; return count_expired_sessions().
            on_deleted: called with the deleted sessions of each batch after its commit.
            with_tickets: whether `on_deleted` needs tickets. Tickets are most of a session's data,
                and stores can skip reading them.
            on_ending: called with each batch before its tickets are lost, see `OnEnding`.
            should_stop: called before each batch and during pauses; True ends the clean-up.

        Raises:
            ValueError: if a number is out of range.
        """
        if dry_run:
            return self.count_expired_sessions(partition=partition)
        detail = Detail.NUMBER
        if on_deleted is not None:
            detail = Detail.TICKETS if with_tickets else Detail.WITHOUT_TICKETS
        # The next clean-up deletes sessions that expire meanwhile, or this one might never end.
        now, since = datetime.now(UTC), None

        def delete_batch(size: int) -> int:
            nonlocal since
            batch = self.delete_expired_batch(
                size,
                now=now,
                since=since,
                partition=partition,
                detail=detail,
                on_ending=on_ending,
            )
            since = batch.since
            if batch.number and on_deleted is not None:
                on_deleted(batch.sessions)
            return batch.number

        return delete_in_batches(
            delete_batch,
            batch_size=batch_size,
            max_seconds=max_seconds,
            sleep=sleep,
            should_stop=should_stop,
            pace=self.cleanup_pace,
        )

    adelete_expired_sessions = twin_of(delete_expired_sessions)


class _NotDeletedError(Exception):
    """Raised in `on_ending` to take back a batch that was counted."""
