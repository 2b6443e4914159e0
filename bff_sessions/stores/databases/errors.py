"""Errors of databases: which are transient, and what their texts may say.

psycopg, psycopg2, MySQLdb and sqlite3 each tell in their own way what has happened. Their texts
may quote values: keys, tickets, whole rows.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import Error, InterfaceError, OperationalError

__all__ = ["is_lost", "is_rolled_back", "without_values"]

# PostgreSQL's documentation, appendix A. Nothing of such a transaction has been committed:
# serialization_failure, deadlock_detected, lock_not_available.
_ROLLED_BACK_STATES: Final = frozenset({"40001", "40P01", "55P03"})
# admin_shutdown, crash_shutdown, cannot_connect_now, statement_completion_unknown. Class 08,
# connection exceptions, is recognized by its first digits.
_LOST_STATES: Final = frozenset({"57P01", "57P02", "57P03", "40003"})
# MariaDB's error codes: checkread (the snapshot is too old), unknown command (a node of Galera that
# is not ready), lock wait timeout, deadlock (with Galera, also a certification conflict).
_ROLLED_BACK_CODES: Final = frozenset({1020, 1047, 1205, 1213})
# The driver's own code for a closed connection, server shutdown, connection killed, connecting
# failed (twice), server has gone away, lost connection, lost connection while connecting,
# disconnected for inactivity (MySQL 8).
_LOST_CODES: Final = frozenset({0, 1053, 1927, 2002, 2003, 2006, 2013, 2055, 4031})
# sqlite.org/rescode.html: SQLITE_BUSY, SQLITE_LOCKED. The upper bits say why.
_LOCKED_CODES: Final = frozenset({5, 6})


def is_rolled_back(error: Error) -> bool:
    """Return whether the database has undone the transaction and asks to repeat it."""
    cause: Any = error.__cause__
    state = _state_of(cause)
    if state is not None:
        return state in _ROLLED_BACK_STATES
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _LOCKED_CODES
    return _code_of(cause) in _ROLLED_BACK_CODES


def is_lost(error: Error) -> bool:
    """Return whether the connection was lost, or none could be made."""
    cause: Any = error.__cause__
    state = _state_of(cause)
    if state is not None:
        return state in _LOST_STATES or state.startswith("08")
    if hasattr(cause, "sqlite_errorcode"):
        return False
    if _code_of(cause) is not None:
        return _code_of(cause) in _LOST_CODES
    # The drivers of PostgreSQL find out by themselves, without a state from the server. Others
    # call it an InterfaceError to use a connection that is closed.
    return cause is not None and isinstance(error, (OperationalError, InterfaceError))


def without_values(error: Error) -> Error:
    """Return an error of the same type and code whose text quotes no values of the statement.

    The driver's error, its cause, is replaced by one of its type, too. An error that Django raises
    by itself is returned as it is.
    """
    cause: Any = error.__cause__
    if cause is None:
        return error
    if _code_of(cause) is not None:
        # Duplicate entry '<key>' for key 'bff_sessions_key'.
        args = (cause.args[0], *(_before_quote(str(text)) for text in cause.args[1:]))
    else:
        args = (_first_line(cause),)
    clean = type(error)(*args)
    try:
        clean.__cause__ = type(cause)(*args)
    except Exception:
        clean.__cause__ = Exception(*args)  # A driver that needs more to make an error.
    for name in ("sqlite_errorcode", "sqlite_errorname"):
        if hasattr(cause, name):
            setattr(clean.__cause__, name, getattr(cause, name))
    return clean


def _first_line(cause: Any) -> str:
    # PostgreSQL adds lines with DETAIL, which quotes rows, and LINE, which quotes the statement.
    text, _, _ = str(cause).partition("\n")
    state = _state_of(cause)
    # Data exceptions quote the value in the first line: invalid input syntax for type date: "x".
    return _before_quote(text) if state is not None and state.startswith("22") else text


def _before_quote(text: str) -> str:
    places = [place for quote in "'\"" if (place := text.find(quote)) >= 0]
    return f"{text[: min(places)]}..." if places else text


def _state_of(cause: Any) -> str | None:
    """Return the SQLSTATE that psycopg or psycopg2 found in the server's answer."""
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state


def _code_of(cause: Any) -> int | None:
    """Return the error code that a driver of MySQL gives as its first argument."""
    code = cause.args[0] if cause is not None and cause.args else None
    return code if isinstance(code, int) else None
