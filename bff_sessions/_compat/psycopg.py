"""A cursor of Django's for PostgreSQL that sends values apart from the statement's text.

Undocumented API of Django's PostgreSQL backend, read in Django 5.2, 6.0 and 6.1 with psycopg 3.2
and 3.3: Cursor, ServerBindingCursor, is_psycopg3, and the cursor_factory of the driver's
connection. It saves the server from parsing a ticket in hexadecimal digits.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base as backend
from django.db.backends.utils import CursorWrapper

# The type stubs describe psycopg 2.
base: Any = backend


def open_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """Return `connection.cursor()`, with server-side binding and binary results.

    Django's default writes values into the statement, because some of its queries need that. A
    ticket then becomes hexadecimal digits, twice as many bytes, that the server parses.
    Statements that only compare and set columns do not need that.

    A connection pooler may stand in between: no statement stays prepared on the server, unless
    OPTIONS["prepare_threshold"] asks for it.
    """
    connection.ensure_connection()
    driver: Any = connection.connection
    usual = driver.cursor_factory
    if not base.is_psycopg3 or usual is not base.Cursor:
        # OPTIONS["server_side_binding"] or ["cursor_factory"] has chosen another cursor: use it.
        return connection.cursor()
    driver.cursor_factory = _binary_cursor
    try:
        return connection.cursor()
    finally:
        driver.cursor_factory = usual


def _binary_cursor(driver: Any, **kwargs: Any) -> Any:
    cursor = base.ServerBindingCursor(driver, **kwargs)
    cursor.format = base.Format.BINARY
    return cursor
