"""The figures of the overview: exact in a small table, and estimates in a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from bff_sessions._compat.queries import compile_rows
from bff_sessions.secret import hidden_frames
from bff_sessions.stores.orm.counting import count_states
from bff_sessions.stores.orm.sampling import (
    SAMPLE,
    Figure,
    Span,
    count_begun,
    count_stored,
    stored,
    using,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The figures of the overview."""

    live: Figure
    expired: Figure
    hours: list[Figure]
    days: list[Figure]
    groups: list[tuple[str, str | None, int]]
    """The newest sign-ins by partition and issuer."""
    is_whole: bool
    """The groups are those of all sessions."""


@hidden_frames()
def count(hours: Sequence[Span], days: Sequence[Span]) -> Figures:
    """Return the figures of this moment.

    Args:
        hours: those of the last day.
        days: the last two include all `hours`.
    """
    now, size = datetime.now(UTC), count_stored()
    live, expired = count_states(size, now)
    begun = count_begun(days, now, size.number)
    lately = count_begun(hours, now, sum(figure.number for figure in begun[-2:]))
    return Figures(
        live=live,
        expired=expired,
        hours=lately,
        days=begun,
        groups=count_by_group(),
        is_whole=size.is_exact,
    )


def count_by_group() -> list[tuple[str, str | None, int]]:
    """Count the newest sign-ins by partition and issuer."""
    return _newest(["partition", "issuer"])


def recent_partitions() -> list[str]:
    """Return the partitions of the newest sign-ins."""
    return [name for name, _number in _newest(["partition"])]


def _newest(columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Count the newest sign-ins by the values of `columns`."""
    sql, values = compile_rows(stored().order_by("-created").values(*columns)[:SAMPLE])
    connection = connections[using()]
    names = ", ".join(map(connection.ops.quote_name, columns))
    sql = f"SELECT {names}, COUNT(*) FROM ({sql}) newest GROUP BY {names}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
