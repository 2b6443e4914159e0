"""The figures of the overview: exact in a small table, and estimates in a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from django.db import connections
from django.db.models import Q

from bff_sessions import conf
from bff_sessions._compat.queries import compile_rows
from bff_sessions.admin.sampling import (
    SAMPLE,
    Size,
    Span,
    count_begun,
    count_first,
    count_stored,
    share_of,
    stored,
    using,
)
from bff_sessions.stores.orm.models import expired_sessions, unexpired_sessions

# With fewer of them in a sample, the number of all is a guess.
_ENOUGH: Final = 50


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
class Begun:
    """For each span the number of sessions that began in it and are still stored."""

    numbers: list[int]
    is_exact: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the overview shows."""

    live: Figure
    expired: Figure
    hours: Begun
    days: Begun
    groups: list[tuple[str, str | None, int]]
    """The newest sign-ins by partition and issuer."""
    is_whole: bool
    """The groups are those of all sessions."""


def count(hours: Sequence[Span], days: Sequence[Span]) -> Figures:
    """Return the figures of this moment.

    Args:
        hours: those of the last day.
        days: the last two include all `hours`.
    """
    now, size = datetime.now(UTC), count_stored()
    live, expired = _count_states(size, now)
    begun, are_days_exact = count_begun(days, now, size.number)
    lately, are_hours_exact = count_begun(hours, now, sum(begun[-2:]))
    return Figures(
        live=live,
        expired=expired,
        hours=Begun(numbers=lately, is_exact=are_hours_exact),
        days=Begun(numbers=begun, is_exact=are_days_exact),
        groups=count_by_group(),
        is_whole=size.is_exact,
    )


def _count_states(size: Size, now: datetime) -> tuple[Figure, Figure]:
    """Return the numbers of live and of expired sessions."""
    live = Precision.EXACT if size.is_exact else Precision.ABOUT
    expired = _count_expired(now)
    if expired is not None:
        return (
            Figure(number=max(size.number - expired, 0), precision=live),
            Figure(number=expired, precision=Precision.EXACT),
        )
    matching, sampled = share_of(expired_sessions(now))
    # Another process may have deleted all of them meanwhile.
    number = round(size.number * matching / max(sampled, 1))
    return (
        Figure(number=size.number - number, precision=live),
        Figure(number=number, precision=Precision.ABOUT)
        if matching >= _ENOUGH
        else Figure(number=SAMPLE, precision=Precision.MORE),
    )


def _count_expired(now: datetime) -> int | None:
    """Return how many sessions have expired; None if there are too many to count."""
    expired = count_first(stored().filter(expires__lte=now).order_by("expires"))
    if expired is None or conf.ABSOLUTE_LIFETIME is None:
        return expired
    # Those that expire later were saved under a longer absolute lifetime.
    begun = now - conf.ABSOLUTE_LIFETIME
    outlived = count_first(
        stored().filter(created__lte=begun).order_by("created"),
        Q(subject_id__isnull=False) & unexpired_sessions(now),
    )
    return None if outlived is None else expired + outlived


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
