"""The pace of a clean-up, for every store that removes expired sessions in batches."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["EXCLUSIVE", "MAX_BATCH_SIZE", "SHARED", "Pace", "delete_in_batches"]

# Short transactions, and not more parameters in a statement than databases take.
MAX_BATCH_SIZE = 10_000
# The first batch. It grows as long as there is time, and does not shrink below the least: from
# there on it is as long as a commit, however small it is.
_FIRST = 100
_LEAST = 50
# The longest nap between two looks at should_stop(), in seconds.
_NAP = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How much room a clean-up leaves to others."""

    seconds: float
    """A batch is as large as what is over in that time."""
    rest: float
    """So many times as long as a batch took is the rest after it, on average."""


# Everybody else has to wait for a batch: more than a moment would be noticed.
EXCLUSIVE = Pace(seconds=0.03, rest=2)
# Others share disk and processor with it, no more, and it takes as long as it takes them.
SHARED = Pace(seconds=0.1, rest=0.5)


def _irregular() -> float:
    """A factor around 1.

    Who looks for a lock at regular intervals, as SQLite does each 0.1 s, would otherwise find a
    batch at each look, for seconds.
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
    """Call ``delete_batch(size)`` until it removes nothing; return the number removed.

    Batches are short in time, so each size follows from how long the last batch took.

    Args:
        pace: `SHARED` where others can write during a batch.

    The others are those of `UserSessionStoreCleanup.delete_expired_sessions()`.

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
