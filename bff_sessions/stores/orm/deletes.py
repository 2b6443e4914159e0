"""Deletes of the ORM store: rows are locked, announced and deleted in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.db import transaction

from bff_sessions._compat.django_db import delete_rows
from bff_sessions.contract import DeletedSession, OnEnding, UserSessionsFilter
from bff_sessions.stores.databases.retrying import leave_doubt, retry
from bff_sessions.stores.orm.expired import are_left, locks_indexes
from bff_sessions.stores.orm.models import Session
from bff_sessions.stores.orm.rows import matching, to_deleted
from bff_sessions.stores.orm.statements import DELETE, DELETE_ROW, LOCK
from bff_sessions.stores.orm.transactions import OrmTransactions

# The most rows that one statement deletes: SQLite bounds the parameters of a statement.
_BATCH = 500


class OrmDeletes(OrmTransactions):
    """Deletes sessions by their keys or by a filter."""

    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """See UserSessionStore.

        If the connection was lost and the repetition finds no session, this returns True. The
        earlier try may have deleted it. To announce an end twice is better than never.
        """
        using = self.using
        if on_ending is not None:
            return bool(self._delete_batch([key], lambda row: True, on_ending))
        return retry(
            using, lambda: bool(DELETE.execute(using, key=key)), if_in_doubt=_count_as_deleted
        )

    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        found = self._rows().filter(matching(filter)).values_list("key", flat=True)
        deleted: list[DeletedSession] = []
        previous: list[str] = []
        # The same keys again: the caller's transaction has a snapshot with deleted rows.
        while (keys := retry(found.db, lambda: list(found[:_BATCH]))) and keys != previous:
            previous = keys
            deleted += self._delete_batch(keys, filter.matches, on_ending)
        return deleted

    def _delete_batch(
        self, keys: list[str], matches: Callable[[Session], bool], on_ending: OnEnding | None
    ) -> list[DeletedSession]:
        using = self.using
        found: list[Session] = []

        def delete() -> list[DeletedSession]:
            nonlocal found
            found = []
            with transaction.atomic(using=using):
                # An update may have changed a row since its key was read.
                found = [row for row in self._lock_keys(keys) if matches(row)]
                deleted = [to_deleted(row) for row in found]
                if deleted and on_ending is not None:
                    on_ending(deleted)
                self._delete_locked([row.pk for row in found])
            return deleted

        def find_deleted() -> list[DeletedSession] | None:
            # One row decides, as the transaction is atomic. A row that moves keeps its ID.
            if not found or are_left(self._rows(), [row.pk for row in found]):
                return None
            return [to_deleted(row) for row in found]

        return retry(using, delete, own_result=find_deleted)

    def _lock_keys(self, keys: list[str]) -> Iterable[Session]:
        """Lock the rows in the order of their keys, like all code that locks several rows."""
        if not locks_indexes(self.using):
            return self._lock(self._rows().filter(key__in=keys).order_by("key"))
        # If the list names most of a table, MySQL and MariaDB scan the table and lock all rows.
        # FORCE INDEX does not prevent that. A statement for one row has only one plan.
        rows = (LOCK.fetch(self.using, key=key) for key in sorted(keys))
        return [Session(**row) for row in rows if row is not None]

    def _delete_locked(self, ids: list[int]) -> None:
        if not locks_indexes(self.using):
            delete_rows(self._rows().filter(id__in=ids))
            return
        for id in ids:  # See _lock_keys().
            DELETE_ROW.execute(self.using, id=id)


def _count_as_deleted(deleted: bool) -> bool:
    if not deleted:
        leave_doubt()
    return True
