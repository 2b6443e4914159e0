"""The default store: sessions in a database, through Django's ORM."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, connections, router, transaction
from django.db.models import F, Q, QuerySet

from bff_sessions._compat.django_db import delete_rows, is_in_transaction
from bff_sessions._compat.statements import Statement
from bff_sessions.contract import (
    ANY,
    AnyType,
    DeletedSession,
    Detail,
    Device,
    ExpiredBatch,
    OnEnding,
    Paging,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionStoreDevices,
    UserSessionStoreLeases,
    UserSessionStoreTransactions,
    UserSessionUpdate,
)
from bff_sessions.contract.pacing import EXCLUSIVE, SHARED, Pace
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.stores.databases.retrying import leave_doubt, retry
from bff_sessions.stores.databases.scopes import scope_of
from bff_sessions.stores.orm.expired import ExpiredRows, are_left, locks_indexes
from bff_sessions.stores.orm.models import Session, live_sessions, unexpired_sessions
from bff_sessions.stores.orm.rows import (
    LISTED,
    matching,
    newest_first,
    position_of,
    to_deleted,
    to_listed,
    to_row,
    to_session,
    to_update,
)
from bff_sessions.stores.orm.statements import (
    CREATE,
    DELETE,
    DELETE_ROW,
    DELETED,
    GET,
    LOCK,
    SESSION,
)
from bff_sessions.stores.orm.statements import (
    update as update_statement,
)

__all__ = ["OrmUserSessionStore"]

# The most rows that one statement deletes: SQLite bounds the parameters of a statement.
_BATCH = 500


class OrmUserSessionStore(
    UserSessionStoreTransactions,
    UserSessionStoreLeases,
    UserSessionStoreDevices,
    UserSessionStoreCleanup,
    UserSessionStore,
):
    """Stores sessions as rows of `bff_sessions.stores.orm.models.Session`.

    It reads and writes the database that the routers name for writing. A replica that lags behind
    would serve revoked sessions.

    Outside a transaction of the caller, each verb is repeated after a transient error, see
    `bff_sessions.stores.databases.retrying`. After a lost connection, the repetition first looks
    for the result of the earlier try. Only then it reports a session as missing, changed or taken.

    Args:
        using: the alias of a database; None means that of the routers.
    """

    def __init__(self, using: str | None = None) -> None:
        self._using = using

    @property
    def using(self) -> str:
        """The alias of the database that holds the sessions."""
        return router.db_for_write(Session) if self._using is None else self._using

    @property
    def scope(self) -> str:
        """The alias, database and schema of the present connection."""
        return scope_of(self.using)

    def get_user_session(self, key: str) -> UserSession | None:
        using = self.using
        session = retry(using, lambda: _fetch(using, key))
        if session is None:
            return None
        # Decided here and not in SQL, so that the statement is always the same.
        return None if session.has_expired(datetime.now(UTC)) else session

    def create_user_session(self, session: UserSession) -> None:
        using = self.using
        values = to_row(session)

        def create() -> bool:
            try:
                CREATE.execute(using, **values)
            except IntegrityError as error:
                if not _is_of_key(error):
                    raise
            else:
                return True
            # Outside the handler: the text of its error contains the store key.
            raise SessionExists

        def find() -> bool | None:
            found = _fetch(using, session.key)
            return True if found is not None and found.ticket == session.ticket else None

        retry(using, create, own_result=find)

    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        values = to_update(update)
        if if_version is not None:
            return self._write(update_statement(), key, values, if_version)
        using, rows = self.using, self._rows().filter(key=key)

        def write() -> int:
            with transaction.atomic(using=using):
                if not rows.update(**values, version=F("version") + 1):
                    raise SessionMissing
                return rows.values_list("version", flat=True).get()

        return retry(using, write, own_result=lambda: _find_written(using, key, values))

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        values = to_update(session)
        return self._move(frozenset(), key, session.key, values, if_version)

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        values = to_update(session)
        unchanged = frozenset(n for n, value in to_update(read).items() if value == values[n])
        if session.key != read.key:
            return self._move(unchanged, read.key, session.key, values, read.version)
        return self._write(update_statement(unchanged), read.key, values, read.version)

    def touch_user_session(self, key: str, *, renewed: datetime, expires: datetime | None) -> bool:
        rows = self._rows().filter(live_sessions(), key=key)
        return bool(retry(rows.db, lambda: rows.update(renewed=renewed, expires=expires)))

    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        known = self._rows().filter(live_sessions(), key=key, last_seen=if_seen)
        changes = {} if device is None else asdict(device)
        noted = self._rows().filter(key=key, last_seen=seen, **changes)
        return retry(
            known.db,
            lambda: bool(known.update(last_seen=seen, **changes)),
            own_result=lambda: noted.exists() or None,
        )

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        if is_in_transaction(connections[self.using]):
            raise RuntimeError(
                "A lease must not be acquired inside a transaction: other requests would not see "
                "it before the commit. With ATOMIC_REQUESTS, decorate the view with "
                "transaction.non_atomic_requests."
            )
        now = datetime.now(UTC)
        rows = self._rows().filter(live_sessions(), key=key)
        is_free = Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_owner=owner)
        until = now + timedelta(seconds=seconds)

        def acquire() -> bool:
            if rows.filter(is_free).update(lease_owner=owner, lease_until=until):
                return True
            if not rows.exists():
                raise SessionMissing
            return False

        return retry(rows.db, acquire)

    def release_lease(self, key: str, owner: str) -> bool:
        leased = self._rows().filter(key=key, lease_owner=owner)
        return retry(
            leased.db,
            lambda: bool(leased.update(lease_owner=None, lease_until=None)),
            # The earlier try may have released the lease.
            if_in_doubt=lambda _: True,
        )

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

    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        rows = self._matching(filter).order_by("-renewed", "-id")
        found = map(to_session, retry(rows.db, lambda: list(rows.values(*SESSION))))
        return [session for session in found if session is not None]

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        paging = Paging(f"orm:{self.using}", cursor, limit)
        rows = self._matching(filter).order_by(*newest_first(filter))
        if (after := paging.after) is not None:
            is_older = Q(created__lt=after.created) | Q(id__lt=int.from_bytes(after.tie))
            rows = rows.filter(is_older, created__lte=after.created)
        page = rows.values("id", *LISTED)[: paging.rows]
        found = retry(rows.db, lambda: list(page))
        listed = ((position_of(row), to_listed(row)) for row in found)
        return paging.page(listed)

    def _matching(self, filter: UserSessionsFilter) -> QuerySet[Session]:
        return self._rows().filter(unexpired_sessions(datetime.now(UTC)), matching(filter))

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

    def _expired(
        self, now: datetime, since: datetime | None, partition: str | AnyType
    ) -> ExpiredRows:
        rows = self._rows().filter(expires__lte=now)
        if partition is not ANY:
            rows = rows.filter(partition=partition)
        return ExpiredRows(rows, since, partial(self._lock, skip_locked=True))

    def on_commit(self, callback: Callable[[], None]) -> None:
        connection = connections[self.using]
        if connection.in_atomic_block:
            transaction.on_commit(callback, using=self.using)
        elif connection.get_autocommit():
            callback()
        # If the caller has switched off autocommit, its commit cannot be noticed: never call.

    def _rows(self) -> QuerySet[Session]:
        return Session._base_manager.using(self.using)

    def _move(
        self,
        unchanged: frozenset[str],
        key: str,
        new_key: str,
        values: dict[str, Any],
        if_version: int,
    ) -> int:
        statement = update_statement(unchanged, move=True)
        values = values | {"new_key": new_key}
        return self._write(statement, key, values, if_version)

    def _write(
        self, statement: Statement, key: str, values: dict[str, Any], if_version: int
    ) -> int:
        version = if_version + 1
        using = self.using
        parameters = {**values, "key": key, "if_version": if_version, "version": version}

        def write() -> int:
            try:
                written = statement.execute(using, **parameters)
            except IntegrityError as error:
                if not _is_of_key(error):
                    raise
                written = None
            if written:
                return version
            if written is None:
                raise SessionExists
            raise SessionChanged if self._rows().filter(key=key).exists() else SessionMissing

        def find() -> int | None:
            found = _find_written(using, values.get("new_key", key), values)
            return version if found == version else None

        return retry(using, write, own_result=find)

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


def _count_as_deleted(deleted: bool) -> bool:
    if not deleted:
        leave_doubt()
    return True


def _fetch(using: str, key: str) -> UserSession | None:
    row = GET.fetch(using, key=key)
    return None if row is None else to_session(row)


def _find_written(using: str, key: str, values: dict[str, Any]) -> int | None:
    """Return the version of the session if it has exactly these `values`; else None."""
    found = _fetch(using, key)
    if found is None or any(values[name] != value for name, value in to_update(found).items()):
        return None
    return found.version


def _is_of_key(error: IntegrityError) -> bool:
    """Return whether the store key is taken.

    PostgreSQL and MySQL name the constraint, SQLite names the column.
    """
    names = "bff_sessions_key", f"{Session._meta.db_table}.key"
    return any(name in str(error) for name in names)
