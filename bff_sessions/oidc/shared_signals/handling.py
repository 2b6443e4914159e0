"""Do what security events demand: end sessions, or nothing. CAEP 1.0, RISC 1.0 and SSF 1.0."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bff_sessions.contract import EndReason
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.logout.handling import end_once
from bff_sessions.oidc.logout.named import Named
from bff_sessions.oidc.options.event_types import (
    END,
    STREAM_UPDATED,
    VERIFICATION,
    EventType,
    find_event_type,
)
from bff_sessions.oidc.options.signals import to_tuple
from bff_sessions.oidc.shared_signals.subjects import SubjectUnresolved
from bff_sessions.oidc.shared_signals.tokens import Reason, Signal, SignalInvalid
from bff_sessions.oidc.shared_signals.transmitters import Transmitter, any_equal
from bff_sessions.oidc.verification.signatures import shown

logger = logging.getLogger("bff_sessions.signals")

# The values of status in a stream-updated event: SSF 1.0, 8.1.5.
_STATUSES: Final = ("enabled", "paused", "disabled")
# The most types of events that one line of the log names.
_MOST_NAMES: Final = 3

_Event = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Demand:
    """The events of a token that end sessions of one transmitter's provider."""

    transmitter: Transmitter
    events: Sequence[tuple[EventType, _Event]]

    @property
    def keeps_sign_in(self) -> bool:
        """False if one of the events makes the sign-in at the provider doubtful."""
        return all(kind.keeps_sign_in for kind, _ in self.events)


def handle(signal: Signal) -> None:
    """Do what the events of the verified `signal` demand, and log it.

    Sessions end in all partitions of the store, as with revoke_sessions(). A token that was handled
    before ends nothing: RFC 8935, 2, demands the same answer as for the first one.

    Raises:
        SignalInvalid: if an event is malformed.
        ProviderUnavailable: if the token could not be verified for one of several providers. It was
            handled for the others, and must be sent again.
        RuntimeError: inside a transaction, which would commit too late for other requests.
    """
    others: dict[str, _Event] = {}
    for uri, event in signal.events.items():
        if uri in VERIFICATION:
            _verify(signal, event)
        elif uri == STREAM_UPDATED:
            _report_stream(signal.issuer, event)
        else:
            others[uri] = event
    demands = [
        _Demand(transmitter=each, events=_find_ending(others, each)) for each in signal.transmitters
    ]
    _report_without_effect(signal, others, demands)
    _end(signal, demands)
    _report_refused(signal)


def _verify(signal: Signal, event: _Event) -> None:
    state = event.get("state")
    # SSF 1.0, 8.1.4.2: without a state if the transmitter has initiated it.
    if state is not None and not any(_expects(each, state) for each in signal.transmitters):
        raise SignalInvalid(Reason.STATE)
    logger.info("The stream of %s is verified.", signal.issuer)


def _expects(transmitter: Transmitter, state: object) -> bool:
    expected = to_tuple(transmitter.options.state)
    return not expected or (isinstance(state, str) and any_equal(state, expected))


def _report_stream(issuer: str, event: _Event) -> None:
    status = event.get("status")
    text = status if status in _STATUSES else "unknown"
    level = logging.INFO if status == "enabled" else logging.WARNING
    logger.log(level, "The transmitter %s has set its stream to: %s.", issuer, text)


def _find_ending(
    events: Mapping[str, _Event], transmitter: Transmitter
) -> list[tuple[EventType, _Event]]:
    """Return the events that end sessions, in the order in which they are tried."""
    actions = transmitter.options.actions or {}
    found = [(find_event_type(uri, actions), event) for uri, event in events.items()]
    ending = [
        (kind, event)
        for kind, event in found
        if kind is not None and kind.action == END and not kind.is_harmless(event)
    ]
    # The account includes its sessions.
    return sorted(ending, key=lambda each: not each[0].ends_all)


def _report_without_effect(
    signal: Signal, events: Mapping[str, _Event], demands: Sequence[_Demand]
) -> None:
    """Log the types of the events that end no session, in one line each for all."""
    effective = {kind.uri for each in demands for kind, _ in each.events}
    unknown: list[str] = []
    ignored: list[str] = []
    for uri in events.keys() - effective:
        kinds = [find_event_type(uri, each.transmitter.options.actions or {}) for each in demands]
        kind = next(filter(None, kinds), None)
        if kind is None:
            unknown.append(uri)
        else:
            ignored.append(kind.name)
    if unknown:
        names = _join_some(map(shown, sorted(unknown)[:_MOST_NAMES]), len(unknown))
        logger.info("An event of %s is of an unknown type: %s.", signal.issuer, names)
    if ignored:
        names = _join_some(sorted(ignored)[:_MOST_NAMES], len(ignored))
        logger.info("An event of %s was ignored: %s.", signal.issuer, names)


def _join_some(names: Iterable[str], number: int) -> str:
    more = number - _MOST_NAMES
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _end(signal: Signal, demands: Sequence[_Demand]) -> None:
    """End the sessions of all providers whose users the events name."""
    handled: list[tuple[EventType, int | None]] = []
    failed: list[tuple[SubjectUnresolved, EventType]] = []
    for demand in demands:
        # RFC 8417, 2: several are one event under alternative URIs. Those of drafts may name its
        # subject in different ways.
        for kind, event in demand.events:
            try:
                named = demand.transmitter.resolver.resolve(signal.read_subject(event))
            except SubjectUnresolved as unresolved:
                failed.append((unresolved, kind))
                continue
            handled.append((kind, _end_named(signal, demand, kind, named)))
            break
    if handled:
        _report_ended(signal.issuer, handled)
    elif failed:
        why, kind = min(failed, key=lambda each: each[0].rank())
        level = logging.WARNING if why.may_be_configured else logging.INFO
        logger.log(
            level,
            "An event of %s names no user or session here (%s): %s.",
            signal.issuer,
            kind.name,
            why,
        )


def _end_named(
    signal: Signal, demand: _Demand, kind: EventType, named: Sequence[Named]
) -> int | None:
    """End what the event names of one provider. Return None if the token was handled before."""
    provider = demand.transmitter.provider
    return end_once(
        named,
        ends_all=kind.ends_all,
        issuer=provider.issuer,
        # Another issuer, the provider's logout tokens, or another client of the provider, which
        # may understand the subject differently, may use the same jti.
        jti=f"security event of {signal.issuer} for {provider.client_id}: {signal.jti}",
        issued=signal.issued_at,
        expires=signal.expires_at(demand.transmitter),
        reason=EndReason.SECURITY_EVENT,
        keeps_sign_in=demand.keeps_sign_in,
    )


def _report_ended(issuer: str, handled: Sequence[tuple[EventType, int | None]]) -> None:
    name, numbers = handled[0][0].name, [ended for _, ended in handled if ended is not None]
    if numbers:
        logger.info(
            "An event of %s was accepted (%s). Sessions ended: %d.", issuer, name, sum(numbers)
        )
    else:
        logger.info("An event of %s was handled before: %s.", issuer, name)


def _report_refused(signal: Signal) -> None:
    """Log which of several providers the token was refused for.

    Raises:
        ProviderUnavailable: if it may be accepted for one of them later.
    """
    unavailable = None
    for transmitter, fault in signal.refused:
        if isinstance(fault, ProviderUnavailable):
            unavailable = fault
            continue
        logger.warning(
            "A security event was refused for %s. %s",
            transmitter.provider.issuer,
            f"{fault} {fault.detail}".rstrip(),
        )
    if unavailable is not None:
        raise unavailable
