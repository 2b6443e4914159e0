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
from enum import StrEnum
from typing import Any, Final

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Q, QuerySet
from django.db.models.expressions import RawSQL

from bff_sessions._compat.queries import compile_rows
from bff_sessions.secret import hidden_frames
from bff_sessions.stores import database_of_store
from bff_sessions.stores.orm.models import Session

SAMPLE: Final = 10_000
"""A table of up to this many rows is counted exactly. An estimate reads about this many entries."""
# Reading a row is much slower than reading an entry of an index.
_ROWS: Final = 500
# Many short windows find the busy hours of a day. But each window reads a page of the index.
_WINDOWS: Final = 720
# No window counts more than this at first. PostgreSQL expects a window to be as full as it may be,
# and would compile a statement that seems to count millions, which takes longer than to run it.
_WINDOW_LIMIT: Final = 1_000
# Multiples of the golden ratio, without their integer parts, are spread evenly.
_GOLDEN: Final = 0.618034
# The digits of a key that decide. More digits change no estimate.
_DIGITS: Final = 12

Span = tuple[datetime, datetime]
"""A half-open range: from the first time to before the second. Both are aware."""


class Precision(StrEnum):
    """How exact a number is."""

    EXACT = "exact"
    ABOUT = "about"
    MORE = "more"
    """There are more than the number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number of sessions."""

    number: int
    precision: Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How many rows a table has."""

    number: int
    is_exact: bool


def using() -> str:
    """Return the database of the sessions: that of the store, which need not ask the routers."""
    return database_of_store() or router.db_for_write(Session)


def stored() -> QuerySet[Session]:
    """Return all rows."""
    return Session._base_manager.using(using())


@hidden_frames()
def count_stored() -> Size:
    """Return how many rows there are, within about 2 % if the table is large."""
    keys = stored().order_by("key").values_list("key", flat=True)
    for key in keys[SAMPLE : SAMPLE + 1]:
        return Size(number=round(SAMPLE / _share_below(key)), is_exact=False)
    return Size(number=stored().count(), is_exact=True)


@hidden_frames()
def share_of(condition: Q) -> tuple[int, int]:
    """Return how many rows of a random sample match `condition`, and how many are in the sample."""
    sample = stored().order_by("key")[:_ROWS]
    numbers = sample.aggregate(matching=Count("pk", filter=condition), all=Count("pk"))
    return numbers["matching"], numbers["all"]


@hidden_frames()
def count_first(rows: QuerySet[Session], condition: Q | None = None) -> int | None:
    """Return how many of `rows` match `condition`. None if there are too many rows to count."""
    numbers = rows[: SAMPLE + 1].aggregate(matching=Count("pk", filter=condition), all=Count("pk"))
    return None if numbers["all"] > SAMPLE else numbers["matching"]


@hidden_frames()
def count_begun(spans: Sequence[Span], until: datetime, most: int) -> list[Figure]:
    """Return for each span how many of its sessions are stored.

    Args:
        until: no session begins later.
        most: the number of sessions that begin in all spans together is about this or less.
    """
    if most <= SAMPLE:
        limit = 2 * SAMPLE
        return [_up_to(limit, number) for number in _count_windows(spans, limit + 1)]
    share, parts = SAMPLE / most, max(_WINDOWS // len(spans), 1)
    windows = [
        window
        for number, (first, last) in enumerate(spans)
        for window in _windows(first, max(min(last, until), first), parts, share, number * parts)
    ]
    numbers = _count_windows(windows, _WINDOW_LIMIT)
    if full := [index for index, number in enumerate(numbers) if number == _WINDOW_LIMIT]:
        again = _count_windows([windows[index] for index in full], 2 * SAMPLE)
        for index, number in zip(full, again, strict=True):
            numbers[index] = number
    sums = [sum(numbers[first : first + parts]) for first in range(0, len(numbers), parts)]
    return [Figure(number=round(number / share), precision=Precision.ABOUT) for number in sums]


def _up_to(limit: int, number: int) -> Figure:
    # If `most` is wrong, as in a burst that no window has found, the count stops after the limit.
    if number == limit + 1:
        return Figure(number=limit, precision=Precision.MORE)
    return Figure(number=number, precision=Precision.EXACT)


def _windows(first: datetime, last: datetime, parts: int, share: float, start: int) -> list[Span]:
    """Return a window in each of equal parts of a span, which together are `share` of it."""
    part = (last - first) / parts
    begins = [
        first + part * (index + (start + index) * _GOLDEN % 1 * (1 - share))
        for index in range(parts)
    ]
    return [(begin, begin + part * share) for begin in begins]


def _count_windows(windows: Sequence[Span], limit: int) -> list[int]:
    """Count the sessions that began in each window, in one statement.

    Args:
        limit: where the database allows it, no window counts more.
    """
    connection, created = connections[using()], Session._meta.get_field("created")
    values: list[Any] = [
        created.get_db_prep_value(time, connection) for window in windows for time in window
    ]
    count = _count_by_join if connection.vendor == "mysql" else _count_by_subquery
    with connection.cursor() as cursor:
        cursor.execute(count(connection, len(windows), limit), values)
        numbers: dict[int, int] = dict(cursor.fetchall())
    return [numbers.get(number, 0) for number in range(len(windows))]


def _count_by_subquery(_connection: BaseDatabaseWrapper, windows: int, limit: int) -> str:
    # One subquery for all windows: PostgreSQL takes long to plan hundreds of them.
    rows = stored().filter(created__gte=RawSQL("first", ()), created__lt=RawSQL("last", ()))
    sql, _values = compile_rows(rows.order_by("created").values("pk")[:limit])
    rows_of_times = ", ".join(f"({number}, %s, %s)" for number in range(windows))
    return (
        f"WITH windows (number, first, last) AS (VALUES {rows_of_times})"  # noqa: S608
        f" SELECT number, (SELECT COUNT(*) FROM ({sql}) counted) FROM windows"
    )


def _count_by_join(connection: BaseDatabaseWrapper, windows: int, _limit: int) -> str:
    # MySQL and MariaDB would not use the index in a subquery: they plan it only once. For a join
    # they choose a range of the index for each window.
    quote, time = connection.ops.quote_name, "CAST(%s AS DATETIME(6))"
    table, created, pk = map(quote, (Session._meta.db_table, "created", "id"))
    is_mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    row = "" if is_mariadb else "ROW"
    rows_of_times = ", ".join(f"{row}({number}, {time}, {time})" for number in range(windows))
    return (
        f"WITH windows (number, first, last) AS (VALUES {rows_of_times})"  # noqa: S608
        f" SELECT STRAIGHT_JOIN number, COUNT({pk}) FROM windows"
        f" JOIN {table} FORCE INDEX (bff_sessions_created)"
        f" ON {created} >= first AND {created} < last GROUP BY number"
    )


def _share_below(key: str) -> float:
    """Return the part of all possible keys that are below `key`."""
    try:
        digits = int(key[:_DIGITS].ljust(_DIGITS, "0"), 16)
    except ValueError:
        return 1.0  # The row was altered: its key is not a digest.
    return max(digits, 1) / 16**_DIGITS
