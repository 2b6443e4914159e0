"""The figures of the overview. An index alone answers each statement.

On PostgreSQL this needs a table that is vacuumed regularly, as autovacuum does.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from django.core.cache import cache
from django.db import connections, router
from django.db.models import QuerySet

from bff_sessions.stores.databases.scopes import scope_of
from bff_sessions.stores.orm.models import Session, expired_sessions, young_sessions

logger = logging.getLogger("bff_sessions.admin")

SAMPLE: Final = 20_000
"""This many of the newest sign-ins are counted by partition and issuer."""
_RECENT: Final = 10_000
_EXPIRED: Final = 100_000
# The number is the version of the format: change it when the cached values change.
_PREFIX: Final = "bff_sessions.admin.2."

T = TypeVar("T")
Span = tuple[datetime, datetime]
"""A half-open range: from the first time to before the second. Both are aware."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Numbers that were counted at the same time."""

    live: int
    expired: int
    more_expired: bool
    """There are more than were counted."""
    begun: list[int]
    """For each span the number of sessions that began in it and are still stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept(Generic[T]):
    """A result, and when it was counted."""

    result: T
    counted_at: datetime
    is_kept: bool
    """True if Django's cache holds it for the next viewer."""


def kept(name: str, spans: Sequence[Span], seconds: int, call: Callable[[], T]) -> Kept[T]:
    """Return the result of `call` from Django's cache, or call it and cache the result.

    If the cache fails, the page still works. That costs three statements and a line in the log.

    Args:
        spans: the ranges that the result counts. Each database, schema and list of spans has a
            result of its own.
        seconds: how long the result is cached.
    """
    parts = [scope_of(_using()), *(str(time.timestamp()) for span in spans for time in span)]
    name = f"{_PREFIX}{name}.{hashlib.sha256(' '.join(parts).encode()).hexdigest()}"
    try:
        found = cache.get(name)
    except Exception as error:
        _report(error)
        return Kept(result=call(), counted_at=datetime.now(UTC), is_kept=False)
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], datetime):
        return Kept(result=found[0], counted_at=found[1], is_kept=True)
    result, counted_at = call(), datetime.now(UTC)
    try:
        cache.set(name, (result, counted_at), seconds)
        # Some caches fail without an exception.
        is_kept = cache.get(name) is not None
    except Exception as error:
        _report(error)
        is_kept = False
    return Kept(result=result, counted_at=counted_at, is_kept=is_kept)


def _report(error: Exception) -> None:
    # Only the class, because the text may contain the address of the cache with its password.
    logger.warning(
        "The cache 'default' fails (%s): the overview counts its figures for each view.",
        type(error).__name__,
    )


def count_now(spans: Sequence[Span]) -> Counted:
    """Count live, expired and begun sessions in one statement."""
    now = datetime.now(UTC)
    rows = Session._base_manager.using(_using())
    expired = rows.filter(expired_sessions(now)).order_by("expires")
    begun = [rows.filter(created__gte=first, created__lt=last) for first, last in spans]
    # Two ranges of one index.
    endless, bounded = (
        rows.filter(young_sessions(now), expires=None),
        rows.filter(young_sessions(now), expires__gt=now),
    )
    numbers = _count([endless, bounded, expired[: _EXPIRED + 1], *begun])
    return Counted(
        live=numbers[0] + numbers[1],
        expired=min(numbers[2], _EXPIRED),
        more_expired=numbers[2] > _EXPIRED,
        begun=numbers[3:],
    )


def count_begun(spans: Sequence[Span]) -> list[int]:
    """Count the sessions that began in each span and are still stored, in one statement."""
    sessions = Session._base_manager.using(_using())
    return _count([sessions.filter(created__gte=first, created__lt=last) for first, last in spans])


def count_by_group() -> list[tuple[str, str | None, int]]:
    """Count the newest sign-ins by partition and issuer."""
    return _newest(["partition", "issuer"], SAMPLE)


def recent_partitions() -> list[str]:
    """Return the partitions of the newest sign-ins."""
    return [name for name, _number in _newest(["partition"], _RECENT)]


def _using() -> str:
    return router.db_for_write(Session)


def _count(querysets: Sequence[QuerySet[Session]]) -> list[int]:
    """Count the rows of each queryset, in one statement."""
    branches: list[str] = []
    parameters: list[Any] = []
    for index, queryset in enumerate(querysets):
        sql, values = _compile(queryset.values("pk"))
        branches.append(f"SELECT {index}, COUNT(*) FROM ({sql}) counted")  # noqa: S608
        parameters += values
    # UNION ALL does not promise an order.
    numbers: dict[int, int] = dict(_fetch(" UNION ALL ".join(branches), parameters))
    return [numbers[index] for index in range(len(querysets))]


def _newest(columns: Sequence[str], number: int) -> list[tuple[Any, ...]]:
    """Count the newest `number` sign-ins by the values of `columns`."""
    sessions = Session._base_manager.using(_using()).order_by("-created")
    sql, values = _compile(sessions.values(*columns)[:number])
    quote = connections[_using()].ops.quote_name
    names = ", ".join(map(quote, columns))
    sql = f"SELECT {names}, COUNT(*) FROM ({sql}) newest GROUP BY {names}"  # noqa: S608
    return _fetch(sql, values)


def _compile(queryset: QuerySet[Session, Any]) -> tuple[str, Sequence[Any]]:
    sql, parameters = queryset.query.get_compiler(_using()).as_sql()
    return sql, parameters


def _fetch(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connections[_using()].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
