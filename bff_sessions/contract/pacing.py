"""The pace of a clean-up, for every store that deletes expired sessions in batches."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

# Keeps transactions short, and the parameters of a statement within what databases accept.
MAX_BATCH_SIZE = 10_000
# The size of the first batch. Later sizes follow from the time that a batch takes.
_FIRST = 100
# A smaller batch would not be faster: its commit takes as long as the deletes.
_LEAST = 50
# The longest pause between two calls of should_stop(), in seconds.
_NAP = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How much time a clean-up leaves to requests."""

    seconds: float
    """How long a batch should take. Its size follows from that."""
    rest: float
    """The pause after a batch, as a multiple of the time that the batch took."""


# For databases where requests wait for the whole batch: users must not notice it.
EXCLUSIVE = Pace(seconds=0.03, rest=2)
# For databases where requests share only disk and processor with a batch. A request that needs a
# lock of the batch waits for all of it, so batches are short: `python -m benchmarks.cleanup`.
SHARED = Pace(seconds=0.03, rest=1)


def _irregular() -> float:
    """Return a random factor around 1.

    SQLite tries to get a lock every 0.1 s. Regular batches could hold the lock at each try, for
    seconds.
    """
    return random.uniform(0.5, 1.5)


def delete_in_batches(
    delete_batch: Callable[[int], int],
    *,
    batch_size: int,
    max_seconds: float | None,
    sleep: float | None,
    should_stop: Callable[[], bool] | None,
    pace: Pace = EXCLUSIVE,
) -> int:
    """Call ``delete_batch(size)`` until it deletes nothing. Return how many were deleted.

    Each size follows from how long the last batch took, so that batches are short.

    Args:
        delete_batch: deletes up to `size`, and returns how many.
        batch_size: see `UserSessionStoreCleanup.delete_expired_sessions()`.
        max_seconds: see there.
        sleep: see there.
        should_stop: see there.
        pace: `SHARED` if other requests can write during a batch.

    Raises:
        ValueError: if `batch_size` is not 1 to `MAX_BATCH_SIZE`, or a number of seconds is
            negative.
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

    total, size = 0, min(_FIRST, batch_size)
    while not is_over():
        began = time.monotonic()
        deleted = delete_batch(size)
        if not deleted:
            break
        total += deleted
        now = time.monotonic()
        took = now - began
        wake = now + (took * pace.rest * _irregular() if sleep is None else sleep)
        fitting = size * pace.seconds / took if took else math.inf
        size = min(max(int(min(fitting, size * 2)), _LEAST), batch_size)
        while (rest := wake - time.monotonic()) > 0 and not is_over():
            time.sleep(min(rest, _NAP))
    return total
