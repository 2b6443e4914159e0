"""Clean-up of the ORM store: the deletion of expired rows, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from bff_sessions._compat.django_db import commits_each_statement, delete_rows
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm.models import Session


def locks_indexes(using: str) -> bool:
    """Return whether the database locks entries of indexes, as MySQL and MariaDB do."""
    return connections[using].vendor == "mysql"


def are_left(rows: QuerySet[Session], ids: list[int]) -> bool:
    """Return whether a row is left that a transaction whose connection was lost was to delete."""
    with transaction.atomic(using=rows.db):
        # The server may still be executing that transaction: the lock waits for its end.
        chosen = rows.filter(id__in=ids).select_for_update()
        return bool(chosen.values_list("id", flat=True)[:1])


class ExpiredRows:
    """Deletes expired rows, the longest expired ones first.

    Args:
        rows: all expired rows.
        since: no row expired earlier, see `UserSessionStoreCleanup.delete_expired_batch()`.
        lock: returns the given rows as rows that a read locks, without those that are locked.
    """

    def __init__(
        self,
        rows: QuerySet[Session],
        since: datetime | None,
        lock: Callable[[QuerySet[Session]], QuerySet[Session]],
    ) -> None:
        self._rows = rows
        self._using = rows.db
        self._lock = lock
        # Without a bound, some databases would scan the index entries of deleted rows each time.
        self.since = datetime.min.replace(tzinfo=UTC) if since is None else since

    def count(self) -> int:
        return retry(self._using, self._rows.count)

    def delete(self, size: int) -> int:
        """Delete up to `size` rows without reading them. Return how many; 0 if all are locked."""
        return retry(self._using, lambda: self._delete_unread(size))

    def take(
        self, size: int, columns: Sequence[str], end: Callable[[list[dict[str, Any]]], None]
    ) -> int:
        """Delete up to `size` rows, after calling `end` with their `columns`. Return how many.

        `end` runs in the transaction that deletes, and again if that is repeated.
        """
        taken: list[int] = []

        def take() -> int:
            nonlocal taken
            taken = []
            for chosen in self._choose(size):
                with self._transaction():
                    rows = list(self._lock(chosen).values("id", *columns))
                    taken = [row["id"] for row in rows]
                    if rows:
                        end(rows)
                    self._delete(taken)
                if taken:
                    break
            return len(taken)

        def find_taken() -> int | None:
            all_rows = Session._base_manager.using(self._using)
            return len(taken) if taken and not are_left(all_rows, taken) else None

        return retry(self._using, take, own_result=find_taken)

    def _delete_unread(self, size: int) -> int:
        for chosen in self._choose(size):
            with self._transaction():
                locked = self._lock(chosen).values_list("id", flat=True)
                # A subquery spares reading the rows. MySQL does not allow one on the same table.
                deleted = self._delete(list(locked) if locks_indexes(self._using) else locked)
            if deleted:
                return deleted
        return 0

    def _delete(self, ids: list[int] | QuerySet[Session, int]) -> int:
        return delete_rows(Session._base_manager.using(self._using).filter(id__in=ids))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        connection = connections[self._using]
        is_own = commits_each_statement(self._using)
        with transaction.atomic(using=self._using):
            if is_own and connection.vendor == "postgresql":
                # Do not wait for the disk: a row that a crash restores has still expired.
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL synchronous_commit = off")
            yield

    def _choose(self, size: int) -> Iterator[QuerySet[Session]]:
        """Yield the longest expired rows, then the next ones, in case others lock the first.

        The lock checks the condition again: a session that is renewed meanwhile is spared.
        """
        oldest = self._rows.filter(expires__gte=self.since).order_by("expires")
        moment = oldest.values_list("expires", flat=True).first()
        if moment is None:
            return
        self.since = moment
        oldest = self._rows.filter(expires__gte=moment).order_by("expires")
        if not locks_indexes(self._using):
            yield oldest[:size]
            return
        # MySQL and MariaDB lock the index entry that leads to a row, then the row. An UPDATE by key
        # locks the key's entry first. Locks in another order could deadlock with it.
        skipped: list[str] = []
        keys = oldest.values_list("key", flat=True)
        while batch := list(keys.exclude(key__in=skipped)[:size]):
            yield self._rows.filter(key__in=batch).order_by("key")
            skipped += batch
