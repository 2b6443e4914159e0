"""The pace of a clean-up, for every store that removes expired sessions in batches."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["MAX_BATCH_SIZE", "delete_in_batches"]

# Short transactions, and not more parameters in a statement than databases take.
MAX_BATCH_SIZE = 10_000
# The longest nap between two looks at should_stop(), in seconds.
_NAP = 0.2


def delete_in_batches(
    delete_batch: Callable[[int], int],
    *,
    batch_size: int,
    max_seconds: float | None,
    sleep: float | None,
    should_stop: Callable[[], bool] | None,
) -> int:
    """Call ``delete_batch(batch_size)`` until it removes nothing; return the number removed.

    The other arguments are those of `UserSessionStoreCleanup.delete_expired_sessions()`.

    Raises:
        ValueError: if batch_size is not 1 to `MAX_BATCH_SIZE`, or a number of seconds negative.
    """
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise ValueError(f"batch_size must be between 1 and {MAX_BATCH_SIZE}.")
    if min(max_seconds or 0, sleep or 0) < 0:
        raise ValueError("max_seconds and sleep must not be negative.")
    started = time.monotonic()

    def is_over() -> bool:
        if should_stop is not None and should_stop():
            return True
        return max_seconds is not None and time.monotonic() - started >= max_seconds

    total = 0
    while not is_over():
        began = time.monotonic()
        deleted = delete_batch(batch_size)
        if not deleted:
            break
        total += deleted
        now = time.monotonic()
        wake = now + (now - began if sleep is None else sleep)
        while (rest := wake - time.monotonic()) > 0 and not is_over():
            time.sleep(min(rest, _NAP))
    return total
