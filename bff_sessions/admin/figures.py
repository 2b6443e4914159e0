"""How many sessions there are: every statement here is an aggregate that an index alone answers.

On PostgreSQL that needs a table that is vacuumed now and then, as autovacuum does.
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

from bff_sessions.models import Session
from bff_sessions.stores.orm.models import expired_sessions, young_sessions
from bff_sessions.stores.scopes import scope_of

__all__ = [
    "SAMPLE",
    "Counted",
    "Kept",
    "Span",
    "count_begun",
    "count_by_group",
    "count_now",
    "kept",
    "recent_partitions",
]

logger = logging.getLogger("bff_sessions.admin")

SAMPLE: Final = 20_000
"""Sign-ins, the newest, that are told apart by partition and issuer."""
_RECENT: Final = 10_000
_EXPIRED: Final = 100_000
# What is cached has a format: another one needs another number.
_PREFIX: Final = "bff_sessions.admin.2."

T = TypeVar("T")
Span = tuple[datetime, datetime]
"""From the first moment, and before the second one. Aware."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Numbers of one moment."""

    live: int
    expired: int
    more_expired: bool
    """There are more than were counted."""
    begun: list[int]
    """Sessions that began in each of the spans that were asked for, and are still there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept(Generic[T]):
    """A result, and when it was made."""

    result: T
    counted_at: datetime
    is_kept: bool
    """Whether Django's cache holds it for the next viewer."""


def kept(name: str, spans: Sequence[Span], seconds: int, call: Callable[[], T]) -> Kept[T]:
    """Return the result of `call` from Django's cache, or make it.

    A cache that fails costs three statements and a line in the log, not the page.

    Args:
        spans: what the result counts. Each database, schema and list of spans has its own.
        seconds: how long it is kept.
    """
    moments = [scope_of(_using()), *(str(moment.timestamp()) for span in spans for moment in span)]
    name = f"{_PREFIX}{name}.{hashlib.sha256(' '.join(moments).encode()).hexdigest()}"
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
        # Not all caches say that they fail.
        is_kept = cache.get(name) is not None
    except Exception as error:
        _report(error)
        is_kept = False
    return Kept(result=result, counted_at=counted_at, is_kept=is_kept)


def _report(error: Exception) -> None:
    # The name only: the text may hold the address of the cache, with its password.
    logger.warning(
        "The cache 'default' fails (%s): the figures of the overview are counted for each view.",
        type(error).__name__,
    )


def count_now(spans: Sequence[Span]) -> Counted:
    """One statement."""
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
    """Sessions that began in each of them, and are still there. One statement."""
    rows = Session._base_manager.using(_using())
    return _count([rows.filter(created__gte=first, created__lt=last) for first, last in spans])


def count_by_group() -> list[tuple[str, str | None, int]]:
    """Partition, issuer and number, of the newest sign-ins."""
    return _newest(["partition", "issuer"], SAMPLE)


def recent_partitions() -> list[str]:
    """The partitions of the newest sign-ins."""
    return [name for name, _number in _newest(["partition"], _RECENT)]


def _using() -> str:
    return router.db_for_write(Session)


def _count(querysets: Sequence[QuerySet[Session]]) -> list[int]:
    """The number of rows of each, in one statement."""
    branches: list[str] = []
    parameters: list[Any] = []
    for index, queryset in enumerate(querysets):
        sql, values = _compile(queryset.values("pk"))
        branches.append(f"SELECT {index}, COUNT(*) FROM ({sql}) counted")  # noqa: S608
        parameters += values
    # In whatever order they come.
    numbers: dict[int, int] = dict(_fetch(" UNION ALL ".join(branches), parameters))
    return [numbers[index] for index in range(len(querysets))]


def _newest(columns: Sequence[str], number: int) -> list[tuple[Any, ...]]:
    """The different values of `columns` among so many newest sign-ins, and how often each is."""
    rows = Session._base_manager.using(_using()).order_by("-created")
    sql, values = _compile(rows.values(*columns)[:number])
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
