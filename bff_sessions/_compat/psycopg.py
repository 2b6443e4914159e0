"""A cursor of Django's for PostgreSQL that sends values beside the statement, not in its text.

Undocumented API of Django's PostgreSQL backend, read in Django 5.2, 6.0 and 6.1 with psycopg 3.2
and 3.3: Cursor, ServerBindingCursor, is_psycopg3, and the cursor_factory of the driver's
connection. It spares the server from reading a ticket as hexadecimal digits.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base as backend
from django.db.backends.utils import CursorWrapper

__all__ = ["open_cursor"]

# The type stubs know psycopg 2.
base: Any = backend


def open_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """`connection.cursor()`, with server-side binding and binary results.

    Django's default writes values into the statement, as some of its queries need that; a ticket
    then becomes twice as many hexadecimal digits, for the server to read again. Statements that
    only compare columns and set them can do without.

    No statement stays prepared on the server, where a pooler could lose it, unless
    OPTIONS["prepare_threshold"] says so.
    """
    connection.ensure_connection()
    driver: Any = connection.connection
    usual = driver.cursor_factory
    if not base.is_psycopg3 or usual is not base.Cursor:
        # Set up by OPTIONS["server_side_binding"] or ["cursor_factory"]: as it is, then.
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
