"""The table of sessions in one database, as its transactions show it."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections, router, transaction
from django.db.models import QuerySet

from bff_sessions._compat.django_db import commits_each_statement, in_atomic_block
from bff_sessions.contract import UserSessionStoreTransactions
from bff_sessions.stores.orm.models import Session


class OrmTransactions(UserSessionStoreTransactions):
    """The base of all parts of `OrmUserSessionStore`.

    Args:
        using: the alias of a database; None means that of the routers.
    """

    def __init__(self, using: str | None = None) -> None:
        self._using = using

    @property
    def using(self) -> str:
        """The alias of the database that holds the sessions."""
        return router.db_for_write(Session) if self._using is None else self._using

    def on_commit(self, callback: Callable[[], None]) -> None:
        using = self.using
        if commits_each_statement(using):
            callback()
        elif in_atomic_block(using):
            transaction.on_commit(callback, using=using)
        # If the caller has switched off autocommit, its commit cannot be noticed: never call.

    def _rows(self) -> QuerySet[Session]:
        return Session._base_manager.using(self.using)

    def _lock(self, rows: QuerySet[Session], *, skip_locked: bool = False) -> QuerySet[Session]:
        """Return `rows` as rows that a read locks until the transaction ends."""
        features = connections[self.using].features
        if not features.has_select_for_update:
            # SQLite gives its one write lock to a statement that writes. After a read, that could
            # fail.
            self._rows().filter(id=0).update(version=0)
            return rows
        can_skip = skip_locked and features.has_select_for_update_skip_locked
        return rows.select_for_update(skip_locked=can_skip)
