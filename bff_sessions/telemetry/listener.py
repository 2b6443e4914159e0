"""Counters of what happens, and spans around calls of the store and of providers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bff_sessions import measuring
from bff_sessions.contract import DeletedSession, UserSession
from bff_sessions.extras import extra
from bff_sessions.measuring import Counted
from bff_sessions.signals import session_started, sessions_ended

with extra("otel"):
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode

NAME: Final = "bff_sessions"
"""The name of the meter and of the tracer, and the prefix of all names."""
_DESCRIPTIONS: Final = {
    Counted.SAVES: "Saves of sessions",
    Counted.RETRIES: "Repetitions after a transient error of the database",
    Counted.REFRESHES: "Refreshes of access tokens at a provider",
    Counted.LOGOUT_TOKENS: "Logout tokens of providers",
    Counted.SECURITY_EVENTS: "Security events of transmitters",
    Counted.CACHE_READS: "Reads of sessions through the cache",
}


class Instruments(measuring.Listener):
    """The instruments. The exporter, and what it exports, are the project's choice."""

    def __init__(self) -> None:
        meter = metrics.get_meter(NAME)
        self._tracer = trace.get_tracer(NAME)
        self._counters = {
            what: meter.create_counter(f"{NAME}.{what.value}", description=text)
            for what, text in _DESCRIPTIONS.items()
        }
        self._started = meter.create_counter(
            f"{NAME}.sessions.started", description="Sign-ins, by partition"
        )
        self._ended = meter.create_counter(
            f"{NAME}.sessions.ended", description="Ends of sessions, by reason and partition"
        )

    def count(self, what: Counted, result: str) -> None:
        self._counters[what].add(1, {"result": result})

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        # An exception's text and traceback may quote values, so only its class is recorded.
        with self._tracer.start_as_current_span(
            f"{NAME}.{name}",
            kind=SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                yield
            except Exception as error:
                current.set_attribute("error.type", type(error).__name__)
                current.set_status(Status(StatusCode.ERROR))
                raise

    def start(self, *, session: UserSession, **kwargs: Any) -> None:
        """Receive `session_started`."""
        self._started.add(1, {"partition": session.partition})

    def end(self, *, sessions: Sequence[DeletedSession], reason: Any, **kwargs: Any) -> None:
        """Receive `sessions_ended`."""
        for partition, number in Counter(one.partition for one in sessions).items():
            self._ended.add(number, {"partition": partition, "reason": reason.value})


def connect() -> None:
    """Make the instruments, and let them listen."""
    instruments = Instruments()
    measuring.listen(instruments)
    # Strong references, because nothing else refers to the instruments.
    session_started.connect(instruments.start, weak=False, dispatch_uid=f"{NAME}.telemetry")
    sessions_ended.connect(instruments.end, weak=False, dispatch_uid=f"{NAME}.telemetry")
