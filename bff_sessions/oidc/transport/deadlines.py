"""Time limits for requests to providers. Imports no optional dependency."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bff_sessions.exceptions import ProviderUnavailable

_deadline: ContextVar[float] = ContextVar("bff_sessions_deadline", default=math.inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Bound the total time of all requests to providers inside the context.

    One request often needs another one first: the URL of the keys is in the metadata. Limits nest,
    and the earliest applies.
    """
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float:
    """Return the seconds until the limit; infinite without one."""
    return _deadline.get() - time.monotonic()


@contextmanager
def hold(lock: threading.Lock, what: str) -> Iterator[None]:
    """Hold `lock`, waiting for another thread until the time limit at most.

    Args:
        what: the thing that the other thread asks for, for the text of the error.

    Raises:
        ProviderUnavailable: if the lock is not free in time.
    """
    if not lock.acquire(timeout=max(0, min(time_left(), threading.TIMEOUT_MAX))):
        raise ProviderUnavailable(f"Another thread is still asking for the {what}.")
    try:
        yield
    finally:
        lock.release()
