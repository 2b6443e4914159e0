"""Sessions in a database, through Django's ORM: the default store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, cast

from django.db import IntegrityError, connections, router, transaction
from django.db.models import F, Field, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.functions import Greatest
from django.db.models.sql import DeleteQuery, InsertQuery, Query, UpdateQuery

from bff_sessions.contract import (
    ANY,
    UPDATED,
    AnyType,
    DeletedSession,
    Device,
    OnEnding,
    Paging,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionUpdate,
    WithoutTickets,
    can_be_kept,
)
from bff_sessions.cursors import Position
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.models import Session
from bff_sessions.retrying import leave_doubt, retry
from bff_sessions.stores.batches import EXCLUSIVE, SHARED, delete_in_batches
from bff_sessions.stores.compiled import Slot, Statement
from bff_sessions.stores.expired import ExpiredRows, are_left, locks_indexes
from bff_sessions.stores.scopes import scope_of

__all__ = ["OrmUserSessionStore"]

logger = logging.getLogger("django.security.SuspiciousSession")

_SESSION = tuple(f.name for f in fields(UserSession))
_LISTED = tuple(name for name in _SESSION if name != "ticket")
_DELETED = tuple(f.name for f in fields(DeletedSession))

# Rows that one statement removes at most: SQLite bounds the parameters of a statement.
_BATCH = 500


class OrmUserSessionStore(UserSessionStore, UserSessionStoreCleanup):
    """Keeps sessions as rows of `bff_sessions.models.Session`.

    Reads and writes the database that the routers name for writing: a replica that lags would
    serve sessions that have been revoked.

    Outside a transaction of the caller, each verb is repeated after a transient error, see
    `bff_sessions.retrying`. If the connection was lost, the repetition looks for what the earlier
    try has written before it calls a session missing, changed or taken.

    Args:
        using: the alias of a database, instead of what the routers say.
    """

    def __init__(self, using: str | None = None) -> None:
        self._using = using

    @property
    def using(self) -> str:
        """Alias of the database that holds the sessions."""
        return router.db_for_write(Session) if self._using is None else self._using

    @property
    def scope(self) -> str:
        """Alias, database and schema of the connection that is used now."""
        return scope_of(self.using)

    def get_user_session(self, key: str) -> UserSession | None:
        using = self.using
        session = retry(using, lambda: _fetch(using, key)) if can_be_kept(key) else None
        if session is None:
            return None
        # Told here and not in SQL, so that the statement is always the same.
        return session if session.is_live(datetime.now(UTC)) else None

    def create_user_session(self, session: UserSession) -> None:
        using = self.using
        values = {name: getattr(session, name) for name in _SESSION}

        def create() -> bool:
            try:
                _CREATE.execute(using, **values)
            except IntegrityError as error:
                # The text of the error holds the key, so it goes no further.
                if _is_of_key(error):
                    raise SessionExists from None
                raise
            return True

        def find() -> bool | None:
            found = _fetch(using, session.key)
            return True if found is not None and found.ticket == session.ticket else None

        retry(using, create, own_result=find)

    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        values = {name: getattr(update, name) for name in UPDATED}
        if if_version is not None:
            return self._write(_update(), key, values, if_version)
        using, rows = self.using, self._rows().filter(key=key)

        def write() -> int:
            with transaction.atomic(using=using):
                if not rows.update(**values, version=F("version") + 1):
                    raise SessionMissing
                return rows.values_list("version", flat=True).get()

        return retry(using, write, own_result=lambda: _find_written(using, key, values))

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        values = {name: getattr(session, name) for name in UPDATED}
        return self._move(frozenset(), key, session.key, values, if_version)

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        values = {name: getattr(session, name) for name in UPDATED}
        unchanged = frozenset(n for n, value in values.items() if getattr(read, n) == value)
        if session.key != read.key:
            return self._move(unchanged, read.key, session.key, values, read.version)
        return self._write(_update(unchanged), read.key, values, read.version)

    def touch_user_session(self, key: str, *, renewed: datetime, expires: datetime | None) -> bool:
        live = self._rows().filter(_live(), key=key)
        return bool(retry(live.db, lambda: live.update(renewed=renewed, expires=expires)))

    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        known = self._rows().filter(_live(), key=key, last_seen=if_seen)
        changes = {} if device is None else asdict(device)
        noted = self._rows().filter(key=key, last_seen=seen, **changes)
        return retry(
            known.db,
            lambda: bool(known.update(last_seen=seen, **changes)),
            own_result=lambda: noted.exists() or None,
        )

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        connection = connections[self.using]
        # As with atomic(durable=True): what TestCase opens does not count.
        blocks: list[Any] = connection.atomic_blocks
        if connection.in_atomic_block and not blocks[-1]._from_testcase:
            raise RuntimeError(
                "A lease taken inside a transaction would be seen by others only at its end. "
                "With ATOMIC_REQUESTS, decorate the view with transaction.non_atomic_requests."
            )
        now = datetime.now(UTC)
        live = self._rows().filter(_live(), key=key)
        is_free = Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_owner=owner)
        until = now + timedelta(seconds=seconds)

        def acquire() -> bool:
            if live.filter(is_free).update(lease_owner=owner, lease_until=until):
                return True
            if not live.exists():
                raise SessionMissing
            return False

        return retry(live.db, acquire)

    def release_lease(self, key: str, owner: str) -> bool:
        leased = self._rows().filter(key=key, lease_owner=owner)
        return retry(
            leased.db,
            lambda: bool(leased.update(lease_owner=None, lease_until=None)),
            # The lease may have been there until the earlier try.
            if_in_doubt=lambda _: True,
        )

    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """See UserSessionStore.

        True also if the connection was lost, and the repetition finds no session: the earlier try
        may have removed it, and an end that nobody announces is worse than one announced twice.
        """
        using = self.using
        if not can_be_kept(key):
            return False
        if on_ending is not None:
            return bool(self._delete_batch([key], lambda row: True, on_ending))
        return retry(
            using, lambda: bool(_DELETE.execute(using, key=key)), if_in_doubt=_count_as_deleted
        )

    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        rows = self._rows().filter(_live(), _matching(filter)).order_by("-renewed", "-id")
        found = map(_to_session, retry(rows.db, lambda: list(rows.values(*_SESSION))))
        return [session for session in found if session is not None]

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        paging = Paging(f"orm:{self.using}", cursor, limit)
        rows = self._rows().filter(_live(), _matching(filter)).order_by(*_newest_first(filter))
        if (after := paging.after) is not None:
            is_older = Q(created__lt=after.created) | Q(id__lt=int.from_bytes(after.tie))
            rows = rows.filter(is_older, created__lte=after.created)
        page = rows.values("id", *_LISTED)[: paging.rows]
        found = retry(rows.db, lambda: list(page))
        listed = ((_position_of(row), _to_session(_without_id(row))) for row in found)
        return paging.page((place, session) for place, session in listed if session is not None)

    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        matching = self._rows().filter(_matching(filter)).values_list("key", flat=True)
        deleted: list[DeletedSession] = []
        previous: list[str] = []
        # The same again: a snapshot of the caller's transaction, showing what is long gone.
        while (keys := retry(matching.db, lambda: list(matching[:_BATCH]))) and keys != previous:
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
                # An update may have come between: what matches now counts.
                found = [row for row in self._lock_keys(keys) if matches(row)]
                deleted = [_of_row(row) for row in found]
                if deleted and on_ending is not None:
                    on_ending(deleted)
                self._delete_locked([row.pk for row in found])
            return deleted

        def find_deleted() -> list[DeletedSession] | None:
            # A transaction is done as a whole or not at all, and a row that moves keeps its ID.
            if not found or are_left(self._rows(), [row.pk for row in found]):
                return None
            return [_of_row(row) for row in found]

        return retry(using, delete, own_result=find_deleted)

    def delete_expired_sessions(
        self,
        *,
        batch_size: int = 10_000,
        max_seconds: float | None = None,
        sleep: float | None = None,
        partition: str | AnyType = ANY,
        dry_run: bool = False,
        on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
        on_ending: OnEnding | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        rows = self._rows() if partition is ANY else self._rows().filter(partition=partition)
        expired = ExpiredRows(rows, partial(self._lock, skip_locked=True))
        columns = [name for name in _DELETED if name != "ticket"]
        if on_ending is not None or not isinstance(on_deleted, WithoutTickets):
            columns.append("ticket")

        def end(rows: list[dict[str, Any]]) -> None:
            if on_ending is not None:
                on_ending([_to_deleted(row) for row in rows])

        def delete_batch(size: int) -> int:
            if on_deleted is None and on_ending is None:
                return expired.remove(size)
            deleted = [_to_deleted(row) for row in expired.take(size, columns, end)]
            if deleted and on_deleted is not None:
                on_deleted(deleted)
            return len(deleted)

        if dry_run:
            return expired.count()
        return delete_in_batches(
            delete_batch,
            batch_size=batch_size,
            max_seconds=max_seconds,
            sleep=sleep,
            should_stop=should_stop,
            pace=SHARED if connections[self.using].features.has_select_for_update else EXCLUSIVE,
        )

    def on_commit(self, callback: Callable[[], None]) -> None:
        connection = connections[self.using]
        if connection.in_atomic_block:
            transaction.on_commit(callback, using=self.using)
        elif connection.get_autocommit():
            callback()
        # Where the caller commits by hand, nobody says when: then never.

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
        statement = _update(unchanged, move=True)
        try:
            return self._write(statement, key, values | {"new_key": new_key}, if_version)
        except IntegrityError as error:
            if _is_of_key(error):
                raise SessionExists from None
            raise

    def _write(
        self, statement: Statement, key: str, values: dict[str, Any], if_version: int
    ) -> int:
        version = if_version + 1
        if not can_be_kept(key):
            raise SessionMissing
        using = self.using
        parameters = {**values, "key": key, "if_version": if_version, "version": version}

        def write() -> int:
            if statement.execute(using, **parameters):
                return version
            raise SessionChanged if self._rows().filter(key=key).exists() else SessionMissing

        def find() -> int | None:
            found = _find_written(using, values.get("new_key", key), values)
            return version if found == version else None

        return retry(using, write, own_result=find)

    def _lock_keys(self, keys: list[str]) -> Iterable[Session]:
        """Lock the rows in the order of their keys, as all do who lock several; see ExpiredRows."""
        if not locks_indexes(self.using):
            return self._lock(self._rows().filter(key__in=keys).order_by("key"))
        # Where the list names most of a table, MySQL and MariaDB scan it and lock on the way what
        # others have locked. FORCE INDEX does not prevent that. One row has one plan only.
        rows = (_LOCK.fetch(self.using, key=key) for key in sorted(keys))
        return [Session(**row) for row in rows if row is not None]

    def _delete_locked(self, ids: list[int]) -> None:
        if not locks_indexes(self.using):
            self._rows().filter(id__in=ids)._raw_delete(self.using)
            return
        for id in ids:  # See _lock_keys().
            _DELETE_ROW.execute(self.using, id=id)

    def _lock(self, rows: QuerySet[Session], *, skip_locked: bool = False) -> QuerySet[Session]:
        """`rows`, each of which is locked from when it is read until the transaction ends."""
        features = connections[self.using].features
        if not features.has_select_for_update:
            # SQLite gives its one write lock to who writes; taken after a read it could fail.
            self._rows().filter(id=0).update(version=0)
            return rows
        can_skip = skip_locked and features.has_select_for_update_skip_locked
        return rows.select_for_update(skip_locked=can_skip)


# The statements of every request


def _field(name: str) -> Field[Any, Any]:
    return cast("Field[Any, Any]", Session._meta.get_field(name))


def _slot(field: str, name: str | None = None) -> Slot:
    return Slot(name or field, _field(field))


def _matching_rows(**slots: Slot) -> Query:
    return Session._base_manager.filter(**slots).query


def _create() -> Query:
    query = InsertQuery(Session)
    row = Session(**{name: _slot(name) for name in _SESSION})
    query.insert_values([_field(name) for name in _SESSION], [row], raw=True)
    return query


@cache
def _update(unchanged: frozenset[str] = frozenset(), *, move: bool = False) -> Statement:
    """The UPDATE that leaves these columns alone, and perhaps moves the row to another key.

    SQLite writes to the index of each column that an UPDATE names, whether its value changes or
    not.
    """
    names = [name for name in (*UPDATED, "version") if name not in unchanged]

    def build() -> Query:
        rows = _matching_rows(key=_slot("key"), version=_slot("version", "if_version"))
        query = cast(UpdateQuery, rows.chain(UpdateQuery))
        new_key = {"key": _slot("key", "new_key")} if move else {}
        query.add_update_values({name: _slot(name) for name in names} | new_key)
        return query

    return Statement(build)


_GET = Statement(lambda: Session._base_manager.filter(key=_slot("key")).values(*_SESSION).query)
_CREATE = Statement(_create)
_DELETE = Statement(lambda: _matching_rows(key=_slot("key")).chain(DeleteQuery))
_LOCK = Statement(
    lambda: (
        Session._base_manager.filter(key=_slot("key"))
        .values("id", *_DELETED)
        .select_for_update()
        .query
    )
)
_DELETE_ROW = Statement(lambda: _matching_rows(id=_slot("id")).chain(DeleteQuery))


def _count_as_deleted(deleted: bool) -> bool:
    if not deleted:
        leave_doubt()
    return True


def _fetch(using: str, key: str) -> UserSession | None:
    row = _GET.fetch(using, key=key)
    return None if row is None else _to_session(row)


def _find_written(using: str, key: str, values: dict[str, Any]) -> int | None:
    """Return the version of the session if it holds just these `values`; else None."""
    found = _fetch(using, key)
    if found is None or any(getattr(found, name) != values[name] for name in UPDATED):
        return None
    return found.version


def _is_of_key(error: IntegrityError) -> bool:
    """Whether the key is taken. PostgreSQL and MySQL name the constraint, SQLite the column."""
    names = "bff_sessions_key", f"{Session._meta.db_table}.key"
    return any(name in str(error) for name in names)


def _live() -> Q:
    return Q(expires=None) | Q(expires__gt=datetime.now(UTC))


def _matching(filter: UserSessionsFilter) -> Q:
    wanted = Q()
    for name in ("subject_id", "session_id", "user_id"):
        if (value := getattr(filter, name)) is not None:
            wanted &= Q((name, value))
    if filter.issuer is not ANY:
        wanted &= Q(issuer=filter.issuer)
    if filter.partition is not ANY:
        wanted &= Q(partition=filter.partition)
    if filter.exclude_key is not None:
        wanted &= ~Q(key=filter.exclude_key)
    return wanted


def _newest_first(filter: UserSessionsFilter) -> tuple[str | OrderBy, str]:
    # The index of subjects has this order.
    if filter.subject_id is not None and filter.partition is not ANY:
        return "-created", "-id"
    # With a bare column, PostgreSQL and MariaDB walk the index of `created` and look for sessions
    # that may be the oldest of all. No index has this expression, so they take the user's.
    return Greatest("created", "created").desc(), "-id"


def _to_session(row: dict[str, Any]) -> UserSession | None:
    """Return the session of a row; None, logged, if the row was altered so that it has none."""
    row["ticket"] = bytes(row.get("ticket", b""))  # A view of it, with some drivers.
    try:
        return UserSession(**row)
    except (TypeError, ValueError):
        # Without the error's text, which may quote the row.
        logger.warning("A row of the table of sessions was altered and is ignored.")
        return None


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _LISTED}


def _position_of(row: dict[str, Any]) -> Position:
    return Position(row["created"], row["id"].to_bytes(8))


def _of_row(row: Session) -> DeletedSession:
    return _to_deleted({name: getattr(row, name) for name in _DELETED})


def _to_deleted(row: dict[str, Any]) -> DeletedSession:
    values = {name: row[name] for name in _DELETED if name in row}
    # A view of it, with some drivers; empty, where it was not asked for.
    return DeletedSession(**values | {"ticket": bytes(row.get("ticket", b""))})
