"""Figures of the database, read when an exporter asks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from bff_sessions._compat.django_db import close_unusable_connection, in_atomic_block
from bff_sessions.extras import extra
from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.telemetry.listener import NAME

with extra("otel"):
    from opentelemetry import metrics
    from opentelemetry.metrics import CallbackOptions, Observation

logger = logging.getLogger("bff_sessions.telemetry")

_Callback: TypeAlias = Callable[[CallbackOptions], Iterator[Observation]]


def _gauge(using: Callable[[], str], read: Callable[[], float]) -> _Callback:
    """Return the callback of a gauge that calls `read`, in a thread of the exporter."""

    def observe(_options: CallbackOptions) -> Iterator[Observation]:
        try:
            value = read()
        except Exception as error:
            # The exporter would log its text and traceback, which may quote values.
            logger.warning("A figure could not be read: %s.", type(error).__name__)
        else:
            yield Observation(value)
        finally:
            # A thread of the exporter serves no request, whose end would do this.
            if not in_atomic_block(using()):
                close_unusable_connection(using())

    return observe


def _outbox_size() -> int:
    return TokenRevocation.objects.current().count()


def _outbox_age() -> float:
    oldest = TokenRevocation.objects.current().oldest()
    return 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()


def _outbox_database() -> str:
    return TokenRevocation.objects.current().db


_GAUGES: Final[tuple[tuple[str, str, str, _Callback], ...]] = (
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
