"""Numbers of sessions that cost the same whatever the size of the table.

Each function reads a few thousand entries of an index. In a small table that is all of them, and
the number is exact. In a larger one it is an estimate:

- Store keys are digests, so they are spread evenly. The part of all possible keys in which the
  first rows are tells how many rows there are, and these rows are a random sample.
- Sign-ins are counted in short windows of time, which are spread over each span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connections, router
from django.db.models import Count, Q, QuerySet

from bff_sessions._compat.queries import compile_rows
from bff_sessions.stores.orm.models import Session

SAMPLE: Final = 10_000
"""A table of up to this many rows is counted exactly. An estimate reads about this many entries."""
# Reading a row is much slower than reading an entry of an index.
_ROWS: Final = 500
# Other parts of a span may have more or fewer sign-ins than its windows, so that many short
# windows are better than a few long ones. But each window costs time.
_WINDOWS: Final = 240
# No window counts more than this, so that a burst of sign-ins cannot make the page slow.
_WINDOW_LIMIT: Final = 1_000
# Multiples of the golden ratio, without their integer parts, are spread evenly.
_GOLDEN: Final = 0.618034
# The digits of a key that decide. More digits change no estimate.
_DIGITS: Final = 12

Span = tuple[datetime, datetime]
"""A half-open range: from the first time to before the second. Both are aware."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How many rows a table has."""

    number: int
    is_exact: bool


def using() -> str:
    """Return the database of the sessions."""
    return router.db_for_write(Session)


def stored() -> QuerySet[Session]:
    """Return all rows."""
    return Session._base_manager.using(using())


def count_stored() -> Size:
    """Return how many rows there are, within about 2 % if the table is large."""
    keys = stored().order_by("key").values_list("key", flat=True)
    for key in keys[SAMPLE : SAMPLE + 1]:
        return Size(number=round(SAMPLE / _share_below(key)), is_exact=False)
    return Size(number=stored().count(), is_exact=True)


def share_of(condition: Q) -> tuple[int, int]:
    """Return how many rows of a random sample match `condition`, and how many are in the sample."""
    sample = stored().order_by("key")[:_ROWS]
    numbers = sample.aggregate(matching=Count("pk", filter=condition), all=Count("pk"))
    return numbers["matching"], numbers["all"]


def count_first(rows: QuerySet[Session], condition: Q | None = None) -> int | None:
    """Return how many of `rows` match `condition`. None if there are too many rows to count."""
    numbers = rows[: SAMPLE + 1].aggregate(
        matching=Count("pk", filter=condition), all=Count("pk")
    )
    return None if numbers["all"] > SAMPLE else numbers["matching"]


def count_begun(spans: Sequence[Span], until: datetime, most: int) -> tuple[list[int], bool]:
    """Return for each span how many of its sessions are stored, and whether that is exact.

    Args:
        until: no session begins later.
        most: the number of sessions that begin in all spans together is about this or less.
    """
    if most <= SAMPLE:
        return _count_windows(spans, SAMPLE), True
    share, parts = SAMPLE / most, max(_WINDOWS // len(spans), 1)
    windows = [
        window
        for number, (first, last) in enumerate(spans)
        for window in _windows(first, max(min(last, until), first), parts, share, number * parts)
    ]
    numbers = _count_windows(windows, _WINDOW_LIMIT)
    sums = [sum(numbers[first : first + parts]) for first in range(0, len(numbers), parts)]
    return [round(number / share) for number in sums], False


def _windows(first: datetime, last: datetime, parts: int, share: float, start: int) -> list[Span]:
    """Return a window in each of equal parts of a span, which together are `share` of it."""
    part = (last - first) / parts
    begins = [
        first + part * (index + (start + index) * _GOLDEN % 1 * (1 - share))
        for index in range(parts)
    ]
    return [(begin, begin + part * share) for begin in begins]


def _count_windows(windows: Sequence[Span], limit: int) -> list[int]:
    """Count the sessions that began in each window, in one statement."""
    connection = connections[using()]
    created = Session._meta.get_field("created")
    rows = stored().filter(created__gte=windows[0][0], created__lt=windows[0][1])
    one, _values = compile_rows(rows.order_by("created").values("pk")[:limit])
    values: list[Any] = [
        created.get_db_prep_value(time, connection) for window in windows for time in window
    ]
    if connection.vendor == "postgresql":
        # Planning one subquery instead of hundreds saves most of the time.
        times = ", ".join(f"({number}, %s, %s)" for number in range(len(windows)))
        counted = one % ("windows.first", "windows.last")
        sql = (
            f"SELECT number, (SELECT COUNT(*) FROM ({counted}) counted)"  # noqa: S608
            f" FROM (VALUES {times}) windows (number, first, last)"
        )
    else:
        # MariaDB and MySQL use the index only if they know the times when they plan.
        sql = " UNION ALL ".join(
            f"SELECT {number}, COUNT(*) FROM ({one}) counted"  # noqa: S608
            for number in range(len(windows))
        )
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        # The order is not promised.
        numbers: dict[int, int] = dict(cursor.fetchall())
    return [numbers[number] for number in range(len(windows))]


def _share_below(key: str) -> float:
    """Return the part of all possible keys that are below `key`."""
    try:
        digits = int(key[:_DIGITS].ljust(_DIGITS, "0"), 16)
    except ValueError:
        return 1.0  # The row was altered: its key is not a digest.
    return max(digits, 1) / 16**_DIGITS
