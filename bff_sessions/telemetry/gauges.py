"""Figures of the database, read when an exporter asks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from bff_sessions._compat.django_db import close_unusable_connection, in_atomic_block
from bff_sessions.extras import extra
from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.stores import get_store
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.stores.orm.counting import count_states
from bff_sessions.stores.orm.sampling import count_stored, using
from bff_sessions.telemetry.listener import NAME

with extra("otel"):
    from opentelemetry import metrics
    from opentelemetry.metrics import CallbackOptions, Observation

logger = logging.getLogger("bff_sessions.telemetry")

_Callback: TypeAlias = Callable[[CallbackOptions], Iterator[Observation]]


def _gauge(find_database: Callable[[], str], read: Callable[[], float | None]) -> _Callback:
    """Return the callback of a gauge, which the exporter calls in a thread of its own.

    Args:
        find_database: returns the alias of the database that `read` reads.
        read: returns the value; None if there is none.
    """

    def read_and_close() -> float | None:
        try:
            return read()
        finally:
            # A thread of the exporter serves no request, whose end would do this.
            alias = find_database()
            if not in_atomic_block(alias):
                close_unusable_connection(alias)

    def observe(_options: CallbackOptions) -> Iterator[Observation]:
        try:
            value = read_and_close()
        except Exception as error:
            # The exporter would log its text and traceback, which may quote values.
            logger.warning("A figure could not be read: %s.", type(error).__name__)
        else:
            if value is not None:
                yield Observation(value)

    return observe


def _live() -> int | None:
    store = get_store()
    if not isinstance(getattr(store, "inner", store), OrmUserSessionStore):
        return None  # It cannot count its sessions.
    live, _expired = count_states(count_stored(), datetime.now(UTC))
    return live.number


def _outbox_size() -> int:
    return TokenRevocation.objects.current().count()


def _outbox_age() -> float:
    oldest = TokenRevocation.objects.current().oldest()
    return 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()


def _outbox_database() -> str:
    return TokenRevocation.objects.current().db


_GAUGES: Final[tuple[tuple[str, str, str, _Callback], ...]] = (
    (
        "sessions.live",
        "{session}",
        "Live sessions; estimated if there are more than 10,000",
        _gauge(using, _live),
    ),
    (
        "outbox.size",
        "{token}",
        "Refresh tokens of ended sessions that wait for their revocation",
        _gauge(_outbox_database, _outbox_size),
    ),
    (
        "outbox.age",
        "s",
        "Seconds for which the oldest of them has waited",
        _gauge(_outbox_database, _outbox_age),
    ),
)


def connect() -> None:
    """Make the gauges."""
    meter: Any = metrics.get_meter(NAME)
    for name, unit, description, callback in _GAUGES:
        meter.create_observable_gauge(
            f"{NAME}.{name}", callbacks=[callback], unit=unit, description=description
        )
