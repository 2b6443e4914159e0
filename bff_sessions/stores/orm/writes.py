"""Writes of the ORM store: each one is one statement."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from bff_sessions._compat.statements import Statement
from bff_sessions.contract import Device, UserSession, UserSessionStoreDevices, UserSessionUpdate
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm.models import Session, live_sessions
from bff_sessions.stores.orm.rows import fetch, to_row, to_update
from bff_sessions.stores.orm.statements import CREATE, update_statement
from bff_sessions.stores.orm.transactions import OrmTransactions


class OrmWrites(OrmTransactions, UserSessionStoreDevices):
    """Creates, updates, moves and renews sessions."""

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
            found = fetch(using, session.key)
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

    def touch_user_session(
        self,
        key: str,
        *,
        renewed: datetime,
        expires: datetime | None,
        if_version: int | None = None,
    ) -> bool:
        live = self._rows().filter(live_sessions(), key=key)
        same = live if if_version is None else live.filter(version=if_version)

        def touch() -> bool:
            if same.update(renewed=renewed, expires=expires):
                return True
            if if_version is not None and live.exists():
                raise SessionChanged
            return False

        return retry(live.db, touch)

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


def _find_written(using: str, key: str, values: dict[str, Any]) -> int | None:
    """Return the version of the session if it has exactly these `values`; else None."""
    found = fetch(using, key)
    if found is None or any(values[name] != value for name, value in to_update(found).items()):
        return None
    return found.version


def _is_of_key(error: IntegrityError) -> bool:
    """Return whether the store key is taken.

    PostgreSQL and MySQL name the constraint, SQLite names the column.
    """
    names = "bff_sessions_key", f"{Session._meta.db_table}.key"
    return any(name in str(error) for name in names)
