"""Clean-up: the deletion of expired sessions, in batches."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from asgiref.sync import sync_to_async

from bff_sessions.contract.batches import EXCLUSIVE, MAX_BATCH_SIZE, Pace, delete_in_batches
from bff_sessions.contract.filters import ANY, AnyType
from bff_sessions.contract.sessions import DeletedSession, OnEnding

__all__ = ["Detail", "ExpiredBatch", "UserSessionStoreCleanup"]

# Of a batch that is counted and not deleted. Databases take it as a LIMIT.
_ALL: Final = 2**31 - 1


class Detail(enum.IntEnum):
    """How much a caller needs to know of the sessions that a batch deletes."""

    NUMBER = 0
    WITHOUT_TICKETS = 1
    TICKETS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpiredBatch:
    """A batch of expired sessions that were deleted."""

    number: int
    sessions: Sequence[DeletedSession] = ()
    """The deleted sessions, with at least the `Detail` that was asked for."""
    since: datetime | None = None
    """The moment of the first of them, for the next batch. None if the store has no use for it."""


class UserSessionStoreCleanup(ABC):
    """Deletes the expired sessions that the store still holds: `cleanup_sessions` needs it."""

    @property
    def cleanup_pace(self) -> Pace:
        """How much room a clean-up leaves to others. Default: others wait for each batch."""
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
        """Delete up to `limit` sessions that have expired at the moment `now`, in one transaction.

        A live session is never deleted, also not one that is renewed while this runs. Several
        calls may run at once. The clean-up is over when a batch has no session.

        Args:
            since: what the previous batch of the same clean-up returned. No expired session is
                older; a store may begin to look there.
            partition: one application only.
            detail: what the caller does with the sessions. A store may return more.
            on_ending: is called with the batch before it is lost, see `OnEnding`.
        """

    def count_expired_sessions(self, *, partition: str | AnyType = ANY) -> int:
        """Return how many sessions a clean-up would delete.

        Default: begins to delete all of them in one batch, and takes that back. Override it where
        the store can count.
        """
        number = 0

        def stop(batch: Sequence[DeletedSession]) -> None:
            nonlocal number
            number = len(batch)
            raise _NotDeletedError

        now = datetime.now(UTC)
        with suppress(_NotDeletedError):
            self.delete_expired_batch(_ALL, now=now, partition=partition, on_ending=stop)
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
            batch_size: sessions in one transaction at most, 1 to 10,000; fewer where they take
                long.
            max_seconds: begin no batch later than this many seconds after the start.
            sleep: seconds between two batches; None rests in proportion to what the last one took.
            partition: one application only.
            dry_run: delete nothing; return count_expired_sessions().
            on_deleted: gets what each batch deleted, after its commit.
            with_tickets: whether `on_deleted` needs tickets. They are most of a session, and stores
                can skip reading them.
            on_ending: is called with each batch before it is lost, see `OnEnding`.
            should_stop: asked before each batch and while resting; True ends the work.

        Raises:
            ValueError: if a number is out of range.
        """
        if dry_run:
            return self.count_expired_sessions(partition=partition)
        detail = Detail.NUMBER
        if on_deleted is not None:
            detail = Detail.TICKETS if with_tickets else Detail.WITHOUT_TICKETS
        # Sessions that expire meanwhile are for the next clean-up, or this one might never end.
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

    async def adelete_expired_sessions(
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
        """See delete_expired_sessions()."""
        return await sync_to_async(self.delete_expired_sessions)(
            batch_size=batch_size,
            max_seconds=max_seconds,
            sleep=sleep,
            partition=partition,
            dry_run=dry_run,
            on_deleted=on_deleted,
            with_tickets=with_tickets,
            on_ending=on_ending,
            should_stop=should_stop,
        )


class _NotDeletedError(Exception):
    """Takes back a batch that was counted."""
