"""Repeat work that a transient database error interrupted.

Databases abort one of two transactions that block each other, and connections break. The client is
expected to try again, and only `retry()` does so.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Final, TypeVar

from django.db import Error, connections

from bff_sessions._compat.django_db import commits_each_statement
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.measuring import Counted, count
from bff_sessions.stores.databases.errors import is_lost, is_rolled_back, without_values

_T = TypeVar("_T")

# No try begins later than so many seconds after the first one.
_MAX_SECONDS: Final = 2.0
# The longest pause after each try, in seconds; None after the last one. Pauses are random, so that
# two clients that blocked each other do not meet again.
_PAUSES: Final = (0.02, 0.06, 0.18, 0.54, None)


class Doubt:
    """Records, around a delete, whether an earlier try may have ended the session unnoticed."""

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

    Inside a transaction of the caller, or if the caller commits by hand, do not repeat `work`. Only
    the caller could repeat its transaction as a whole.

    Args:
        using: alias of the database.
        work: writes in one statement or in one transaction, or only reads.
        own_result: returns the result of an earlier call of `work` if the database has it, or
            None. It is called if a lost connection took the answer to the commit with it: once
            after each such call, and again if a repetition is refused.
        if_in_doubt: replaces the result of a repetition after the connection was lost.

    Raises:
        Error: the last error of `work`, or one that is not transient; without_values().
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
            # The server may have finished an earlier try after the connection was lost.
            found = own_result() if is_in_doubt else None
            if found is None:
                raise
            return found
        except Error as error:
            was_lost = is_lost(error)
            is_transient = was_lost or is_rolled_back(error)
            failure = without_values(error)
        if (
            pause is None
            or not is_transient
            or not commits_each_statement(using)
            or time.monotonic() + pause > deadline
        ):
            if is_transient:
                count(Counted.RETRIES, "given_up")
            # Raised outside the handler: inside, it would refer to the error that quotes values.
            raise failure
        if was_lost:
            is_in_doubt = must_look = True
            # The next statement opens a new connection.
            with suppress(Error):
                connections[using].close()
        count(Counted.RETRIES, "repeated")
        time.sleep(random.uniform(0, pause))
    raise AssertionError("The last try returns or raises.")


def leave_doubt() -> None:
    """Let the innermost `Doubt` know that the session may have ended or moved unnoticed."""
    if (doubt := _doubt.get()) is not None:
        doubt.is_left = True
