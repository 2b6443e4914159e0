"""Bounds in time for what is asked of providers. Imports nothing that is optional."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bff_sessions.exceptions import ProviderUnavailable

__all__ = ["hold", "time_left", "time_limit"]

_deadline: ContextVar[float] = ContextVar("bff_sessions_deadline", default=math.inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Bound everything inside that asks a provider: all of it together takes so long at most.

    One answer often needs another one first: the address of the keys is in the metadata. Limits
    nest, and the earliest applies.
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
    """Hold `lock`, for which another thread may make this one wait until the limit.

    Args:
        what: what that thread asks for, for the text of the error.

    Raises:
        ProviderUnavailable: if the lock is not free in time.
    """
    if not lock.acquire(timeout=max(0, min(time_left(), threading.TIMEOUT_MAX))):
        raise ProviderUnavailable(f"Another thread is still asking for the {what}.")
    try:
        yield
    finally:
        lock.release()
