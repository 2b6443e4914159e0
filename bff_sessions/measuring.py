"""Notices of what happens inside the package, for one listener: `bff_sessions.telemetry`.

Without a listener, a notice costs one comparison. No notice holds a subject, an issuer's user or a
key.
"""

from __future__ import annotations

import enum
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from bff_sessions.sansio import Steps

_T = TypeVar("_T")


class Counted(enum.Enum):
    """What is counted, each with the results that it may have."""

    SAVES = "saves"
    """``saved``; ``merged`` with what another request has saved; ``refused`` after too many
    conflicts; ``ended``, because the session has ended."""
    RETRIES = "retries"
    """``repeated`` after a transient error of the database, ``given_up`` otherwise."""
    REFRESHES = "refreshes"
    """``refreshed``, ``refused`` by the provider, or ``unavailable``."""
    LOGOUT_TOKENS = "logout_tokens"
    """``accepted``, ``refused``, or ``unavailable``: the provider sends it again."""
    SECURITY_EVENTS = "security_events"
    """``accepted``, ``refused``, or ``unavailable``: the transmitter sends it again."""
    CACHE_READS = "cache_reads"
    """``hit``, ``miss``, or ``fault``: the cache did not answer, or may not be trusted."""


class Listener(Protocol):
    """Receives the notices. It must not raise an error."""

    def count(self, what: Counted, result: str) -> None:
        """Count one `what` with this result."""

    def span(self, name: str) -> AbstractContextManager[object]:
        """Return a context that surrounds the call `name` of a store or a provider."""


_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Send notices to `listener` from now on; None: to nobody."""
    global _listener
    _listener = listener


def count(what: Counted, result: str) -> None:
    """Notice that `what` has happened with `result`."""
    if _listener is not None:
        _listener.count(what, result)


def span(name: str) -> AbstractContextManager[object]:
    """Return a context that surrounds the call `name`, such as ``provider.request``."""
    return nullcontext() if _listener is None else _listener.span(name)


def traced(name: str, steps: Steps[_T]) -> Steps[_T]:
    """Return `steps` in a span() for the verb `name` of a store."""
    return steps if _listener is None else _trace(_listener, name, steps)


def _trace(listener: Listener, name: str, steps: Steps[_T]) -> Steps[_T]:
    with listener.span(f"store.{name}"):
        return (yield from steps)
