"""Clean-up of the ORM store."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import connections

from bff_sessions.contract import (
    ANY,
    DELETED,
    AnyType,
    DeletedSession,
    Detail,
    ExpiredBatch,
    OnEnding,
    UserSessionStoreCleanup,
)
from bff_sessions.contract.pacing import EXCLUSIVE, SHARED, Pace
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm.expired import ExpiredRows
from bff_sessions.stores.orm.rows import to_deleted
from bff_sessions.stores.orm.transactions import OrmTransactions


class OrmCleanup(OrmTransactions, UserSessionStoreCleanup):
    """Deletes expired sessions while requests go on."""

    @property
    def cleanup_pace(self) -> Pace:
        """`SHARED` if the database locks rows. Otherwise requests wait for the whole batch."""
        has_locks = connections[self.using].features.has_select_for_update
        return SHARED if has_locks else EXCLUSIVE

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
        """See UserSessionStoreCleanup.

        If the connection is lost during the commit of a batch without details, the batch is not
        counted.
        """
        expired = self._expired(now, since, partition)
        if detail is Detail.NUMBER and on_ending is None:
            return ExpiredBatch(number=expired.delete(limit), since=expired.since)
        needs_tickets = detail is Detail.TICKETS or on_ending is not None
        columns = [name for name in DELETED if name != "ticket" or needs_tickets]
        deleted: list[DeletedSession] = []

        def end(rows: list[dict[str, Any]]) -> None:
            nonlocal deleted
            deleted = [to_deleted(row) for row in rows]
            if on_ending is not None:
                on_ending(deleted)

        number = expired.take(limit, columns, end)
        return ExpiredBatch(number=number, sessions=deleted[:number], since=expired.since)

    def count_expired_sessions(self, *, partition: str | AnyType = ANY) -> int:
        return self._expired(datetime.now(UTC), None, partition).count()

    def has_expired_before(self, moment: datetime) -> bool:
        return retry(self.using, self._rows().filter(expires__lt=moment).exists)

    def _expired(
        self, now: datetime, since: datetime | None, partition: str | AnyType
    ) -> ExpiredRows:
        rows = self._rows().filter(expires__lte=now)
        if partition is not ANY:
            rows = rows.filter(partition=partition)
        return ExpiredRows(rows, since, partial(self._lock, skip_locked=True))
