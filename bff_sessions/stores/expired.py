"""The expired rows of the ORM's store, removed a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from bff_sessions.models import Session
from bff_sessions.retrying import retry

__all__ = ["ExpiredRows", "are_left", "locks_indexes"]


def locks_indexes(using: str) -> bool:
    """Return whether the database locks the entries of indexes, as MySQL and MariaDB do."""
    return connections[using].vendor == "mysql"


def are_left(rows: QuerySet[Session], ids: list[int]) -> bool:
    """Return whether one of the rows is left that a transaction, now over, meant to delete."""
    with transaction.atomic(using=rows.db):
        # The server may have gone on with that transaction for a moment: the lock waits for it.
        chosen = rows.filter(id__in=ids).select_for_update()
        return bool(chosen.values_list("id", flat=True)[:1])


class ExpiredRows:
    """What among `rows` has expired by now.

    Args:
        lock: makes of rows such as are locked when they are read, without those that somebody
            else has locked.
    """

    def __init__(
        self, rows: QuerySet[Session], lock: Callable[[QuerySet[Session]], QuerySet[Session]]
    ) -> None:
        self._rows = rows
        self._using = rows.db
        self._lock = lock
        self._expired = rows.filter(expires__lte=datetime.now(UTC))
        # Before that there is nothing but what was deleted, through which some databases would
        # look each time.
        self._oldest = datetime.min.replace(tzinfo=UTC)

    def count(self) -> int:
        return retry(self._using, self._expired.count)

    def remove(self, size: int) -> int:
        """Remove so many at most; how many. None are left, or free, where it is 0.

        If the connection is lost while a batch is committed, that batch is not counted.
        """
        return retry(self._using, lambda: self._remove(size))

    def take(
        self, size: int, columns: Sequence[str], end: Callable[[list[dict[str, Any]]], None]
    ) -> list[dict[str, Any]]:
        """See remove(); what was in these columns, also if the connection was lost.

        `end` gets it in the transaction, and again if that is repeated.
        """
        taken: list[dict[str, Any]] = []

        def take() -> list[dict[str, Any]]:
            nonlocal taken
            taken = []
            for chosen in self._choose(size):
                with self._transaction():
                    taken = list(self._lock(chosen).values("id", *columns))
                    if taken:
                        end(taken)
                    self._delete([row["id"] for row in taken])
                if taken:
                    break
            return taken

        def find_taken() -> list[dict[str, Any]] | None:
            ids = [row["id"] for row in taken]
            return taken if ids and not are_left(self._rows, ids) else None

        return retry(self._using, take, own_result=find_taken)

    def _remove(self, size: int) -> int:
        for chosen in self._choose(size):
            with self._transaction():
                locked = self._lock(chosen).values_list("id", flat=True)
                # What is removed is not even read, unless its number has to be in between.
                removed = self._delete(list(locked) if locks_indexes(self._using) else locked)
            if removed:
                return removed
        return 0

    def _delete(self, ids: list[int] | QuerySet[Session, int]) -> int:
        removed: int = self._rows.filter(id__in=ids)._raw_delete(self._using)
        return removed

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        connection = connections[self._using]
        is_own = connection.get_autocommit() and not connection.in_atomic_block
        with transaction.atomic(using=self._using):
            if is_own and connection.vendor == "postgresql":
                # Nobody waits for the disk: what a crash brings back has expired all the same.
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL synchronous_commit = off")
            yield

    def _choose(self, size: int) -> Iterator[QuerySet[Session]]:
        """Those that expired first; where others have locked them, those that come next.

        Looked at once more when they are locked: who is renewed meanwhile is spared.
        """
        oldest = self._expired.filter(expires__gte=self._oldest).order_by("expires")
        moment = oldest.values_list("expires", flat=True).first()
        if moment is None:
            return
        self._oldest = moment
        oldest = self._expired.filter(expires__gte=moment).order_by("expires")
        if not locks_indexes(self._using):
            yield oldest[:size]
            return
        # MySQL and MariaDB lock the entry of the index that leads to a row, then the row. An
        # UPDATE by key begins with the key's: a lock that begins elsewhere is a deadlock with it.
        skipped: list[str] = []
        keys = oldest.values_list("key", flat=True)
        while batch := list(keys.exclude(key__in=skipped)[:size]):
            yield self._expired.filter(key__in=batch).order_by("key")
            skipped += batch
