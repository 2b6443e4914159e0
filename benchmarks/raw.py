"""The floor: the statements of our engine, sent to the database driver directly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import connection

from benchmarks.contents import text, tokens, user_data
from benchmarks.operations import Operation, Steps
from benchmarks.sessions import Sessions, fill

__all__ = ["RAW"]


class _Statement(Exception):
    """Stops the engine before it sends a statement."""

    def __init__(self, sql: str, parameters: Any) -> None:
        super().__init__()
        if connection.vendor == "sqlite":
            # SQLite's driver has another parameter style; Django translates it at each statement.
            sql = sql % {name: f":{name}" for name in parameters}
        self.sql = sql
        self.parameters = parameters


def _statement(call: Callable[[], Any]) -> _Statement:
    """Return the statement that `call` would send."""

    def stop(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        raise _Statement(sql, parameters)

    try:
        with connection.execute_wrapper(stop):
            call()
    except _Statement as statement:
        return statement
    raise AssertionError("The call sends no statement.")


def _read(statement: _Statement) -> Any:
    cursor = _cursor()
    cursor.execute(statement.sql, statement.parameters)
    return cursor.fetchone()


def _write(statement: _Statement) -> int:
    cursor = _cursor()
    cursor.execute(statement.sql, statement.parameters)
    return int(cursor.rowcount)


def _cursor() -> Any:
    driver = connection.connection
    if connection.vendor != "postgresql":
        return driver.cursor()
    # psycopg's own cursor prepares frequent statements; Django's does not.
    import psycopg

    driver.prepare_threshold = 5
    cursor = psycopg.Cursor(driver)
    cursor.format = psycopg.pq.Format.BINARY
    return cursor


def create(sessions: Sessions) -> Steps:
    session = sessions.open()
    fill(session, user_data(next(sessions.users)) | tokens())
    rows = yield partial(_write, _statement(session.save))
    assert rows == 1


def load(sessions: Sessions) -> Steps:
    key = sessions.take_warm()
    row = yield partial(_read, _statement(sessions.open(key).load))
    assert row
    sessions.give_back(key)


def load_unknown(sessions: Sessions) -> Steps:
    row = yield partial(_read, _statement(sessions.open(text(32)).load))
    assert row is None


def save(sessions: Sessions) -> Steps:
    session = sessions.known()
    session["mark"] = next(sessions.marks)
    rows = yield partial(_write, _statement(session.save))
    assert rows == 1
    sessions.give_back(session.session_key)


def change(sessions: Sessions) -> Steps:
    key = sessions.take_warm()
    loading = _statement(sessions.open(key).load)
    session = sessions.open(key)
    session["mark"] = next(sessions.marks)
    saving = _statement(session.save)
    row, rows = yield lambda: (_read(loading), _write(saving))
    assert row
    assert rows == 1
    sessions.give_back(key)


def cycle_key(sessions: Sessions) -> Steps:
    # The new session key is lost, and the session with it.
    rows = yield partial(_write, _statement(sessions.known().cycle_key))
    assert rows == 1


def delete(sessions: Sessions) -> Steps:
    rows = yield partial(_write, _statement(sessions.known().delete))
    assert rows == 1


RAW: dict[str, Operation] = {
    "create": create,
    "load": load,
    "load unknown": load_unknown,
    "save": save,
    "load-change-save": change,
    "cycle_key": cycle_key,
    "delete": delete,
}
