"""Results that Django's cache holds for the next viewers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

from django.core.cache import cache

from bff_sessions.stores.databases.scopes import scope_of
from bff_sessions.stores.orm.sampling import Span, using

logger = logging.getLogger("bff_sessions.admin")

_SECONDS: Final = 60
# One viewer counts again after this time, so that the others need not wait when the minute is over.
_FRESH: Final = timedelta(seconds=30)
# The number is the version of the format: change it when the cached values change.
_PREFIX: Final = "bff_sessions.admin.4."

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept(Generic[T]):
    """A result, and when it was counted."""

    result: T
    counted_at: datetime
    is_kept: bool
    """True if Django's cache holds it for the next viewer."""


def keep(spans: Sequence[Span], call: Callable[[], T]) -> Kept[T]:
    """Return the result of `call` from Django's cache, or call it and cache the result.

    If the cache fails, the page still works. Each view then runs the statements, and logs a line.

    Args:
        spans: the ranges that the result counts. Each database, schema and list of spans has a
            result of its own.
    """
    parts = [scope_of(using()), *(str(time.timestamp()) for span in spans for time in span)]
    name = f"{_PREFIX}{hashlib.sha256(' '.join(parts).encode()).hexdigest()}"
    try:
        found = cache.get(name)
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], datetime):
            result, counted_at = found
            is_fresh = datetime.now(UTC) - counted_at < _FRESH
            if is_fresh or not cache.add(f"{name}.again", True, _SECONDS):
                return Kept(result=result, counted_at=counted_at, is_kept=True)
    except Exception as error:
        _report(error)
        return Kept(result=call(), counted_at=datetime.now(UTC), is_kept=False)
    result, counted_at = call(), datetime.now(UTC)
    try:
        cache.set(name, (result, counted_at), _SECONDS)
        # Some caches fail without an exception.
        is_kept = cache.get(name) is not None
        cache.delete(f"{name}.again")
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
