"""Do what security events demand: end sessions, or nothing. CAEP 1.0, RISC 1.0 and SSF 1.0."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from bff_sessions.contract import EndReason
from bff_sessions.oidc.logout.handling import end_once
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
from bff_sessions.oidc.shared_signals.transmitters import any_equal
from bff_sessions.oidc.verification.signatures import shown

logger = logging.getLogger("bff_sessions.signals")

# The values of status in a stream-updated event: SSF 1.0, 8.1.5.
_STATUSES: Final = ("enabled", "paused", "disabled")


def handle(signal: Signal) -> None:
    """Do what the events of the verified `signal` demand, and log it.

    Sessions end in all partitions of the store, as with revoke_sessions(). A token that was handled
    before ends nothing: RFC 8935, 2, demands the same answer as for the first one.

    Raises:
        SignalInvalid: if an event is malformed.
        RuntimeError: inside a transaction, which would commit too late for other requests.
    """
    issuer = signal.transmitter.signer.issuer
    ending: list[tuple[EventType, Mapping[str, Any]]] = []
    for uri, event in signal.events.items():
        if uri in VERIFICATION:
            _verify(signal, event)
        elif uri == STREAM_UPDATED:
            _report_stream(issuer, event)
        else:
            kind = find_event_type(uri, signal.transmitter.options.actions or {})
            if kind is None:
                logger.info("An event of %s is of an unknown type: %s.", issuer, shown(uri))
            elif kind.action != END or kind.is_harmless(event):
                logger.info("An event of %s was ignored: %s.", issuer, kind.name)
            else:
                ending.append((kind, event))
    # SSF 1.0, 4.2.1: several are alternative URIs of one event, and have one jti. The account
    # includes its sessions.
    for kind, event in sorted(ending, key=lambda each: not each[0].ends_all)[:1]:
        _end(signal, kind, event)


def _verify(signal: Signal, event: Mapping[str, Any]) -> None:
    issuer, state = signal.transmitter.signer.issuer, event.get("state")
    expected = to_tuple(signal.transmitter.options.state)
    # SSF 1.0, 8.1.4.2: without a state if the transmitter has initiated it.
    is_given = isinstance(state, str) and any_equal(state, expected)
    if expected and state is not None and not is_given:
        raise SignalInvalid(Reason.STATE)
    logger.info("The stream of %s is verified.", issuer)


def _report_stream(issuer: str, event: Mapping[str, Any]) -> None:
    status = event.get("status")
    text = status if status in _STATUSES else "unknown"
    level = logging.INFO if status == "enabled" else logging.WARNING
    logger.log(level, "The transmitter %s has set its stream to: %s.", issuer, text)


def _end(signal: Signal, kind: EventType, event: Mapping[str, Any]) -> None:
    transmitter, subject = signal.transmitter, signal.read_subject(event)
    issuer = transmitter.signer.issuer
    try:
        named = transmitter.resolver.resolve(subject)
    except SubjectUnresolved as unresolved:
        level = logging.WARNING if unresolved.may_be_configured else logging.INFO
        logger.log(
            level, "An event of %s names nobody here (%s): %s.", issuer, kind.name, unresolved
        )
        return
    ended = end_once(
        named,
        ends_all=kind.ends_all,
        issuer=transmitter.provider.issuer,
        # Another issuer, or the provider's logout tokens, may use the same jti.
        jti=f"security event of {issuer}: {signal.jti}",
        issued=signal.issued_at,
        expires=signal.expires_at,
        reason=EndReason.SECURITY_EVENT,
        keeps_sign_in=kind.keeps_sign_in,
    )
    if ended is None:
        logger.info("An event of %s was handled before: %s.", issuer, kind.name)
        return
    logger.info("An event of %s was accepted (%s). Sessions ended: %d.", issuer, kind.name, ended)
