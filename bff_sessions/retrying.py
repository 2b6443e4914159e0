"""Repeats what a transient error of a database has interrupted.

Databases end transactions that are in each other's way, and connections break: all of them ask the
client to try again. `retry()` is the one place that does so.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing

__all__ = ["Doubt", "leave_doubt", "retry"]

_T = TypeVar("_T")

# No try begins later than so many seconds after the first one.
_MAX_SECONDS: Final = 2.0
# The longest pauses after each try, in seconds; none after the last one. Pauses are random, so that
# two that were in each other's way do not meet again.
_PAUSES: Final = (0.02, 0.06, 0.18, 0.54, None)

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


class Doubt:
    """Around a delete: learns whether the session may have ended by an earlier try, unseen."""

    def __init__(self) -> None:
        self.is_left = False

    def __enter__(self) -> Doubt:
        self._token = _doubt.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _doubt.reset(self._token)


_doubt: ContextVar[Doubt | None] = ContextVar("bff_sessions_doubt", default=None)


def retry(
    using: str,
    work: Callable[[], _T],
    *,
    own_result: Callable[[], _T | None] = lambda: None,
    if_in_doubt: Callable[[_T], _T] = lambda result: result,
) -> _T:
    """Call `work`, and again after a transient error: up to 5 times, within 2 seconds.

    Never inside a transaction of the caller, which would have to be repeated as a whole, nor where
    the caller commits by hand.

    Args:
        using: alias of the database.
        work: writes in one statement or in one transaction, or only reads.
        own_result: looks for what an earlier call of `work` has written; returns None if there is
            nothing. It is called if the connection was lost, and with it the answer to the commit:
            once after each such call, and again if a repetition is refused.
        if_in_doubt: replaces the result of a repetition after the connection was lost.

    Raises:
        Error: the last error of `work`, or one that is not transient.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    is_in_doubt = must_look = False
    for pause in _PAUSES:
        try:
            if must_look:
                found, must_look = own_result(), False
                if found is not None:
                    return found
            result = work()
            return if_in_doubt(result) if is_in_doubt else result
        except (SessionChanged, SessionExists, SessionMissing):
            # The server may have gone on with an earlier try for a moment.
            found = own_result() if is_in_doubt else None
            if found is None:
                raise
            return found
        except Error as error:
            is_lost = _is_lost(error)
            if pause is None or not (is_lost or _is_rolled_back(error)):
                raise
            connection = connections[using]
            if not _is_free(connection) or time.monotonic() + pause > deadline:
                raise
        if is_lost:
            is_in_doubt = must_look = True
            # The next statement connects anew.
            with suppress(Error):
                connection.close()
        time.sleep(random.uniform(0, pause))
    raise AssertionError("The last try returns or raises.")


def leave_doubt() -> None:
    """Tell the innermost `Doubt` that nothing says who has ended the session, or if it moved."""
    if (doubt := _doubt.get()) is not None:
        doubt.is_left = True


def _is_free(connection: BaseDatabaseWrapper) -> bool:
    """Return whether no transaction of the caller is open."""
    if connection.in_atomic_block:
        return False
    if connection.connection is None:
        return bool(connection.settings_dict["AUTOCOMMIT"])
    return bool(connection.autocommit)


def _is_rolled_back(error: Error) -> bool:
    """Return whether the database has undone the transaction and asks to repeat it."""
    cause: Any = error.__cause__
    state = _state_of(cause)
    if state is not None:
        return state in _ROLLED_BACK_STATES
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _LOCKED_CODES
    return _code_of(cause) in _ROLLED_BACK_CODES


def _is_lost(error: Error) -> bool:
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


def _state_of(cause: Any) -> str | None:
    """Return the SQLSTATE that psycopg or psycopg2 found in the server's answer."""
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state


def _code_of(cause: Any) -> int | None:
    """Return the error code that a driver of MySQL gives as its first argument."""
    code = cause.args[0] if cause is not None and cause.args else None
    return code if isinstance(code, int) else None
