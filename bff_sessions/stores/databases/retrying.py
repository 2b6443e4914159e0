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
from typing import Final, TypeVar

from django.db import Error, connections

from bff_sessions._compat.django_db import commits_each_statement
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.stores.databases.errors import is_lost, is_rolled_back, without_values

__all__ = ["Doubt", "leave_doubt", "retry"]

_T = TypeVar("_T")

# No try begins later than so many seconds after the first one.
_MAX_SECONDS: Final = 2.0
# The longest pauses after each try, in seconds; none after the last one. Pauses are random, so that
# two that were in each other's way do not meet again.
_PAUSES: Final = (0.02, 0.06, 0.18, 0.54, None)


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
            # The server may have gone on with an earlier try for a moment.
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
            # Not in the handler: it would refer to the error that quotes values.
            raise failure
        if was_lost:
            is_in_doubt = must_look = True
            # The next statement connects anew.
            with suppress(Error):
                connections[using].close()
        time.sleep(random.uniform(0, pause))
    raise AssertionError("The last try returns or raises.")


def leave_doubt() -> None:
    """Tell the innermost `Doubt` that nothing says who has ended the session, or if it moved."""
    if (doubt := _doubt.get()) is not None:
        doubt.is_left = True
