"""A cursor of Django's for PostgreSQL that sends values beside the statement, not in its text."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base as backend
from django.db.backends.utils import CursorWrapper

__all__ = ["open_cursor"]

# The type stubs know psycopg 2.
base: Any = backend

# As often as psycopg sends a statement before it prepares it on the server, if it may.
_THRESHOLD = 5
# Cursors opened on a connection of the driver, up to the threshold.
_opened: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def open_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """`connection.cursor()`, with server-side binding and binary results.

    Django's default writes values into the statement, as some of its queries need that; a ticket
    then becomes twice as many hexadecimal digits, for the server to read again. Statements that
    only compare columns and set them can do without.

    What is executed often stays prepared on the server: where OPTIONS["prepare_threshold"] says
    so, or, without that option, where no pooler is in between.
    """
    connection.ensure_connection()
    driver: Any = connection.connection
    usual = driver.cursor_factory
    if not base.is_psycopg3 or usual is not base.Cursor:
        # Set up by OPTIONS["server_side_binding"] or ["cursor_factory"]: as it is, then.
        return connection.cursor()
    if "prepare_threshold" not in connection.settings_dict["OPTIONS"]:
        with connection.wrap_database_errors:
            _prepare_if_direct(driver)
    driver.cursor_factory = _binary_cursor
    try:
        return connection.cursor()
    finally:
        driver.cursor_factory = usual


def _binary_cursor(driver: Any, **kwargs: Any) -> Any:
    cursor = base.ServerBindingCursor(driver, **kwargs)
    cursor.format = base.Format.BINARY
    return cursor


def _prepare_if_direct(driver: Any) -> None:
    """Give psycopg back its own default, which Django takes away because of poolers.

    A pooler that gives each transaction another server process invents the process id that its
    clients are told when they connect: the process that answers has another one.
    """
    opened = _opened.get(driver, 0) + 1
    if opened > _THRESHOLD:
        return
    if opened == _THRESHOLD:  # Not before it is of use: many a connection lives for one request.
        if driver.info.transaction_status == base.Database.pq.TransactionStatus.INERROR:
            return  # No statement is answered now.
        # Past Django's cursors: no statement of the project's, to be counted or logged.
        [answering] = driver.execute("SELECT pg_backend_pid()").fetchone()
        if answering == driver.info.backend_pid:
            driver.prepare_threshold = _THRESHOLD
    _opened[driver] = opened
