"""Sessions that exist before the measurement. Rows are inserted through the engines' models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, models
from django.utils import timezone

from benchmarks.contents import BROWSER, RANDOM, DatedSession, our_values, text, tokens, user_data
from benchmarks.engines import Engine

__all__ = ["add_sessions", "add_users", "copy_rows", "without_indexes"]

_USERS = 1_000
_BATCH = 500
# Sessions above this number are copies with other keys. They are never loaded.
_REAL = 20_000


def add_users() -> list[User]:
    now = timezone.now()
    return User.objects.bulk_create(
        User(pk=pk, username=f"user-{pk}", password="!", last_login=now)
        for pk in range(1, _USERS + 1)
    )


def add_sessions(engine: Engine, users: Sequence[User], number: int) -> list[str]:
    """Add `number` signed-in sessions, and return the session keys of those that can be loaded."""
    real = min(number, _REAL)
    keys: list[str] = []
    for start in range(0, real, _BATCH):
        sessions = [
            _dated(text(32), user_data(users[index % _USERS]) | tokens())
            for index in range(start, min(start + _BATCH, real))
        ]
        # Copied in each batch, so that the real sessions are spread over the table.
        copies = number // real - 1
        if engine.is_in_redis:
            from benchmarks import redis_rows

            redis_rows.add(engine, sessions, copies)
        else:
            rows = list(_rows(engine, sessions))
            type(rows[0])._base_manager.bulk_create(rows)
            copy_rows(rows, copies)
        keys += [session.key for session in sessions]
    if not engine.is_in_redis:
        _analyze(type(rows[0]))
    RANDOM.shuffle(keys)
    return keys


def _analyze(model: type[models.Model]) -> None:
    # Now, so that no server does this during the measurement.
    statement = {"postgresql": "VACUUM ANALYZE", "mysql": "ANALYZE TABLE", "sqlite": "ANALYZE"}
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        cursor.execute(f"{statement[connection.vendor]} {table}")


def _dated(key: str, data: dict[str, str]) -> DatedSession:
    # Saved at a random time of its lifetime.
    lifetime = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    saved = timezone.now() - RANDOM.random() * (lifetime - timedelta(days=1))
    return DatedSession(key, data, saved, saved + lifetime)


def _rows(engine: Engine, sessions: Sequence[DatedSession]) -> Iterator[models.Model]:
    module = import_module(engine.module)
    for key, data, saved, expires in sessions:
        if engine.app == "bff_sessions":
            from bff_sessions.models import Session

            yield Session(**our_values(key, data, saved, expires))
            continue
        kept: dict[str, Any] = {}
        if engine.keeps_browser:
            kept = BROWSER | {"user_id": data["_auth_user_id"]}
        if engine.app == "qsessions":
            from qsessions import IP_SESSION_KEY, USER_AGENT_SESSION_KEY

            data |= {USER_AGENT_SESSION_KEY: BROWSER["user_agent"], IP_SESSION_KEY: BROWSER["ip"]}
            kept["created_at"] = saved
        model = import_module(f"{engine.app}.models").Session
        encoded = module.SessionStore().encode(data)
        yield model(session_key=key, session_data=encoded, expire_date=expires, **kept)


def copy_rows(rows: Sequence[models.Model], copies: int) -> None:
    """Let the database add copies of `rows` with other keys."""
    if copies < 1:
        return
    meta = rows[0]._meta
    fields = [f for f in meta.concrete_fields if not isinstance(f, models.AutoField)]
    key = fields[0]  # The first field is the key in each model.
    columns = {field.name: connection.ops.quote_name(str(field.column)) for field in fields}
    other = "CONCAT(MD5(CONCAT({0}, n)), SUBSTRING({0}, 33))"
    values = [
        other.format(column) if name in (key.name, "session_id") else column
        for name, column in columns.items()
    ]
    numbers = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(copies))
    table = connection.ops.quote_name(meta.db_table)
    if isinstance(meta.pk, models.AutoField):
        # The key may have no index now.
        pks = [row.pk for row in rows]
        chosen = f"{connection.ops.quote_name(meta.pk.column)} BETWEEN %s AND %s"
        values_of = [min(pks), max(pks)]
    else:
        chosen = f"{columns[key.name]} IN ({', '.join(['%s'] * len(rows))})"
        values_of = [getattr(row, key.name) for row in rows]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            connection.connection.create_function("CONCAT", -1, lambda *s: "".join(map(str, s)))
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns.values())}) "
            f"SELECT {', '.join(values)} FROM {table} "
            f"CROSS JOIN ({numbers}) numbers WHERE {chosen}",
            values_of,
        )


@contextmanager
def without_indexes(model: type[models.Model]) -> Iterator[None]:
    """Drop the indexes of a table, and build them again when it is filled.

    With millions of rows of random keys, an insert would read and write a page for each row.
    """
    # SQLite would copy the whole table for a constraint, and make all indexes with it.
    is_sqlite = connection.vendor == "sqlite"
    indexes, constraints = model._meta.indexes, [] if is_sqlite else model._meta.constraints
    with connection.schema_editor() as editor:
        for constraint in constraints:
            editor.remove_constraint(model, constraint)
        for index in indexes:
            editor.remove_index(model, index)
    yield
    with connection.schema_editor() as editor:
        for constraint in constraints:
            editor.add_constraint(model, constraint)
        for index in indexes:
            editor.add_index(model, index)
