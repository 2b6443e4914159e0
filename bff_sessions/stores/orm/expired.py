"""The expired rows of the ORM's store, removed a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from bff_sessions._compat.django_db import delete_rows
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm.models import Session

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
    """Deletes expired rows, those first that expired first.

    Args:
        rows: all that have expired.
        since: a moment before which there are none, see `UserSessionStoreCleanup`.
        lock: makes of rows such as are locked when they are read, without those that others
            have locked.
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
        # Before that there is nothing but what was deleted, through which some databases would
        # look each time.
        self.since = datetime.min.replace(tzinfo=UTC) if since is None else since

    def count(self) -> int:
        return retry(self._using, self._rows.count)

    def delete(self, size: int) -> int:
        """Delete up to `size` rows without reading them. Return how many; 0 if none is free."""
        return retry(self._using, lambda: self._delete_unread(size))

    def take(
        self, size: int, columns: Sequence[str], end: Callable[[list[dict[str, Any]]], None]
    ) -> int:
        """See delete(). Before it deletes rows, it calls `end` with their `columns`.

        `end` is called in the transaction, and again if that is repeated.
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
                # Rows are not even read, unless their numbers have to be in between.
                removed = self._delete(list(locked) if locks_indexes(self._using) else locked)
            if removed:
                return removed
        return 0

    def _delete(self, ids: list[int] | QuerySet[Session, int]) -> int:
        return delete_rows(Session._base_manager.using(self._using).filter(id__in=ids))

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

        Looked at once more when they are locked: a session that is renewed meanwhile is spared.
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
        # MySQL and MariaDB lock the entry of the index that leads to a row, then the row. An
        # UPDATE by key begins with the key's: a lock that begins elsewhere is a deadlock with it.
        skipped: list[str] = []
        keys = oldest.values_list("key", flat=True)
        while batch := list(keys.exclude(key__in=skipped)[:size]):
            yield self._rows.filter(key__in=batch).order_by("key")
            skipped += batch
