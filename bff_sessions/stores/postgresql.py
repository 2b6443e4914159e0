"""A cursor of Django's for PostgreSQL that sends values beside the statement, not in its text."""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base as backend
from django.db.backends.utils import CursorWrapper

__all__ = ["open_cursor"]

# The type stubs know psycopg 2.
base: Any = backend

# So many cursors are opened on a connection before anything is prepared: many a connection lives
# for one request.
_THRESHOLD = 5
# Those that were, on a connection of the driver, up to the threshold.
_opened: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def open_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """`connection.cursor()`, with server-side binding and binary results.

    Django's default writes values into the statement, as some of its queries need that; a ticket
    then becomes twice as many hexadecimal digits, for the server to read again. Statements that
    only compare columns and set them can do without.

    They stay prepared on the server: as OPTIONS["prepare_threshold"] says, or, without that
    option, on a connection that lives longer and has no pooler in between.
    """
    connection.ensure_connection()
    driver: Any = connection.connection
    usual = driver.cursor_factory
    if not base.is_psycopg3 or usual is not base.Cursor:
        # Set up by OPTIONS["server_side_binding"] or ["cursor_factory"]: as it is, then.
        return connection.cursor()
    prepare: bool | None
    if connection.queries_logged:
        prepare = False  # Or the log would say None for what was executed.
    elif "prepare_threshold" in connection.settings_dict["OPTIONS"]:
        prepare = None
    else:
        with connection.wrap_database_errors:
            prepare = _may_prepare(driver)
    driver.cursor_factory = partial(_Cursor, prepare=prepare)
    try:
        return connection.cursor()
    finally:
        driver.cursor_factory = usual


if base.is_psycopg3:

    class _Cursor(base.ServerBindingCursor):  # type: ignore[misc]
        def __init__(self, driver: Any, *, prepare: bool | None, **kwargs: Any) -> None:
            super().__init__(driver, **kwargs)
            self.format = base.Format.BINARY
            self._prepare = prepare

        def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
            # At once, if at all: psycopg counts the latest hundred statements of everybody.
            return super().execute(query, params, prepare=self._prepare, **kwargs)


def _may_prepare(driver: Any) -> bool:
    """Whether the server process at the other end stays the same, and often enough to be of use.

    Django takes psycopg's prepared statements away because of poolers. One that gives each
    transaction another process invents the process id that clients are told when they connect:
    the process that answers has another one.
    """
    opened = _opened.get(driver, 0) + 1
    if opened == _THRESHOLD:
        if driver.info.transaction_status == base.Database.pq.TransactionStatus.INERROR:
            return False  # Nothing is answered now.
        # Past Django's cursors: no statement of the project's, to be counted or logged.
        [answering] = driver.execute("SELECT pg_backend_pid()").fetchone()
        if answering == driver.info.backend_pid:
            driver.prepare_threshold = _THRESHOLD
    if opened <= _THRESHOLD:
        _opened[driver] = opened
    return opened >= _THRESHOLD and driver.prepare_threshold is not None
