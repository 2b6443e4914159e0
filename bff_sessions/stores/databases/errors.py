"""Errors of databases: which are transient, and how to keep values out of their texts.

psycopg, psycopg2, MySQLdb and sqlite3 each report a fault in their own way. Their texts may quote
values: store keys, tickets, whole rows.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import Error, InterfaceError, OperationalError

# PostgreSQL's documentation, appendix A: serialization_failure, deadlock_detected,
# lock_not_available. The server has committed nothing of such a transaction.
_ROLLED_BACK_STATES: Final = frozenset({"40001", "40P01", "55P03"})
# admin_shutdown, crash_shutdown, cannot_connect_now, statement_completion_unknown. is_lost()
# recognizes class 08, connection exceptions, by its first digits.
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


def is_lost(error: Exception) -> bool:
    """Return whether the connection was lost, or none could be made."""
    cause: Any = error.__cause__
    state = _state_of(cause)
    if state is not None:
        return state in _LOST_STATES or state.startswith("08")
    if hasattr(cause, "sqlite_errorcode"):
        return False
    if _code_of(cause) is not None:
        return _code_of(cause) in _LOST_CODES
    # PostgreSQL's drivers notice a lost connection themselves, without a state from the server.
    # Other drivers raise InterfaceError for a connection that is closed.
    return cause is not None and isinstance(error, (OperationalError, InterfaceError))


def without_values(error: Error) -> Error:
    """Return an error of the same type and code whose text quotes no values of the statement.

    Its cause, the driver's error, is replaced in the same way. An error without a cause, which
    Django itself has raised, is returned unchanged.
    """
    cause: Any = error.__cause__
    if cause is None:
        return error
    if _code_of(cause) is not None:
        # For example: Duplicate entry '<store key>' for key 'bff_sessions_key'.
        args = (cause.args[0], *(_before_quote(str(text)) for text in cause.args[1:]))
    else:
        args = (_first_line(cause),)
    clean = type(error)(*args)
    new_cause: Any
    try:
        new_cause = type(cause)(*args)
    except Exception:
        new_cause = Exception(*args)  # The driver's error needs other arguments.
    # An outer retry() decides by it, and psycopg2 keeps it in an attribute that cannot be set.
    if (state := _state_of(cause)) is not None and _state_of(new_cause) is None:
        new_cause.sqlstate = state
    for name in ("sqlite_errorcode", "sqlite_errorname"):
        if hasattr(cause, name):
            setattr(new_cause, name, getattr(cause, name))
    clean.__cause__ = new_cause
    return clean


def _first_line(cause: Any) -> str:
    # PostgreSQL adds DETAIL lines, which quote rows, and LINE, which quotes the statement.
    text, _, _ = str(cause).partition("\n")
    state = _state_of(cause)
    # Class 22, data exceptions, quotes the value in the first line:
    # invalid input syntax for type date: "x".
    return _before_quote(text) if state is not None and state.startswith("22") else text


def _before_quote(text: str) -> str:
    places = [place for quote in "'\"" if (place := text.find(quote)) >= 0]
    return f"{text[: min(places)]}..." if places else text


def _state_of(cause: Any) -> str | None:
    """Return the SQLSTATE that psycopg or psycopg2 found in the server's answer."""
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state


def _code_of(cause: Any) -> int | None:
    """Return the error code that MySQL drivers give as the first argument of an error."""
    code = cause.args[0] if cause is not None and cause.args else None
    return code if isinstance(code, int) else None
