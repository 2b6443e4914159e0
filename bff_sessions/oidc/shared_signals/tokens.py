"""Verify the security event tokens of shared signals: SSF 1.0, 4, and RFC 8935, 2."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.oidc.shared_signals.subjects import read_subject
from bff_sessions.oidc.shared_signals.transmitters import Transmitter, find_transmitters
from bff_sessions.oidc.verification.event_tokens import (
    EventTokenInvalid,
    Expected,
    check_times,
    verify_event_token,
)
from bff_sessions.oidc.verification.signatures import read_token, shown
from bff_sessions.secret import hidden_frames


class Reason(Enum):
    """Why a token is refused: the error code, and a sentence for the transmitter.

    The sentence does not quote the token. The codes are those of RFC 8935, 2.4; ``invalid_state``
    is that of SSF 1.0, 8.1.4.1.
    """

    MALFORMED = "invalid_request", "The security event token must be a signed JSON Web Token."
    ISSUER = "invalid_issuer", "The iss of the token does not name a transmitter of this site."
    AUTHORIZATION = (
        "authentication_failed",
        "The Authorization header is not the one that this site expects.",
    )
    TYPE = "invalid_request", "The typ of the token must be secevent+jwt."
    ALGORITHM = "invalid_key", "The token is signed with an algorithm that is not allowed."
    KEY = "invalid_key", "The token is signed with a key that the transmitter does not have."
    NO_KEYS = "invalid_key", "The token cannot be verified: the transmitter has no jwks_uri."
    SIGNATURE = "authentication_failed", "The signature of the token is wrong."
    AUDIENCE = "invalid_audience", "The aud of the token does not name this site."
    ID = "invalid_request", "The jti of the token must be a text."
    SUB = "invalid_request", "The token must not have a sub: its subject is sub_id."
    EXPIRES = "invalid_request", "The token must not have an exp."
    ISSUED = "invalid_request", "The iat of the token must be a number."
    PREMATURE = "invalid_request", "The token is issued in the future."
    OUTDATED = "invalid_request", "The token was issued too long ago."
    EVENTS = "invalid_request", "The events of the token must be an object with an object for each."
    SUBJECT = (
        "invalid_request",
        "The sub_id of the token must be a subject identifier with texts of 1 to 255 characters.",
    )
    STATE = "invalid_state", "The state of the verification event is not the one that was given."

    @property
    def code(self) -> str:
        return self.value[0]

    @property
    def description(self) -> str:
        return self.value[1]


class SignalInvalid(BffSessionsError):
    """A security event token is refused.

    Its text is the reason alone, because the transmitter gets it.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.description)
        self.reason = reason
        """The first fault of the token."""
        self.detail = detail
        """Details for the operator's log: values of single claims, shortened and ASCII,
        beside what this site expects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """The verified content of a security event token."""

    transmitters: Sequence[Transmitter]
    """The transmitters of this site that may have issued it, at least one. There are several if it
    is for several providers, or several clients of one."""
    refused: Sequence[tuple[Transmitter, SignalInvalid | ProviderUnavailable]]
    """The others that its ``aud`` names, each with the reason why the token is not accepted."""
    jti: str = field(repr=False)
    """The ``jti`` claim: unique among the tokens of this issuer."""
    issued_at: datetime
    """The ``iat`` claim. Aware, UTC."""
    events: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """The events by the URIs of their types. There is at least one."""
    _subject: object = field(repr=False)

    @property
    def issuer(self) -> str:
        """The ``iss`` claim."""
        return self.transmitters[0].signer.issuer

    def expires_at(self, transmitter: Transmitter) -> datetime:
        """Return ``iat`` plus MAX_AGE and LEEWAY of `transmitter`.

        From then on, the token is refused. Aware, UTC.
        """
        options = transmitter.options
        return self.issued_at + timedelta(seconds=options.max_age + options.leeway)

    def read_subject(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the subject of `event`, which is one of `events`.

        Raises:
            SignalInvalid: if it is malformed.
        """
        # Events of drafts, and those of Google, have their own subject and no sub_id.
        subject = event.get("subject") if self._subject is None else self._subject
        try:
            return read_subject(subject)
        except ValueError:
            raise SignalInvalid(Reason.SUBJECT) from None


@hidden_frames()
def verify_signal(token: str, authorization: str) -> Signal:
    """Return the content of `token`, after verifying that a transmitter of this site issued it.

    `bff_sessions.oidc.shared_signals.handling` decides what it does, and whether it has done so
    already.

    Args:
        authorization: the header of that name in the request.

    Raises:
        SignalInvalid: if the token breaks a rule.
        ProviderUnavailable: if the transmitter's keys cannot be fetched.
        ImproperlyConfigured: if a provider is not configured correctly.
    """
    accepted: list[tuple[Transmitter, dict[str, Any]]] = []
    refused: list[tuple[Transmitter, SignalInvalid | ProviderUnavailable]] = []
    for transmitter in _find(token):
        try:
            accepted.append((transmitter, _verify(token, transmitter, authorization)))
        except (SignalInvalid, ProviderUnavailable) as error:
            refused.append((transmitter, error))
    if not accepted:
        # A repetition may be accepted later.
        errors = [error for _, error in refused]
        raise next((e for e in errors if isinstance(e, ProviderUnavailable)), errors[0])
    claims = accepted[0][1]
    return Signal(
        transmitters=[transmitter for transmitter, _ in accepted],
        refused=refused,
        jti=claims["jti"],
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        events=claims["events"],
        _subject=claims.get("sub_id"),
    )


def _find(token: str) -> list[Transmitter]:
    try:
        _, claims = read_token(token)
    except ValueError:
        raise SignalInvalid(Reason.MALFORMED) from None
    issuer, audience = claims.get("iss"), claims.get("aud")
    names = audience if isinstance(audience, list) else [audience]
    # Another audience is refused later, after the signature.
    found = find_transmitters(issuer, [each for each in names if isinstance(each, str)])
    if not found:
        raise SignalInvalid(Reason.ISSUER, f"It is {shown(issuer)}; no SIGNALS has this issuer.")
    return found


def _verify(token: str, transmitter: Transmitter, authorization: str) -> dict[str, Any]:
    """Return the claims of `token`, after verifying that `transmitter` may have issued it."""
    # Without the right header, no key is fetched.
    if not transmitter.accepts(authorization):
        raise SignalInvalid(Reason.AUTHORIZATION)
    try:
        claims, expected = verify_event_token(token, lambda *args: _expected(transmitter))
        _check_claims(claims)
        check_times(claims, expected, now=time.time(), needs_exp=False)
    except EventTokenInvalid as invalid:
        raise SignalInvalid(Reason[invalid.fault.name], invalid.detail) from None
    return claims


def _expected(transmitter: Transmitter) -> Expected:
    options = transmitter.options
    return Expected(
        signer=transmitter.signer,
        typ="secevent+jwt",
        needs_typ=options.strict_typ,
        audiences=transmitter.audiences,
        audience_option="CLIENT_ID" if options.audience is None else "AUDIENCE",
        max_age=options.max_age,
        leeway=options.leeway,
    )


def _check_claims(claims: dict[str, Any]) -> None:
    # SSF 1.0, 4.1.3: neither may be present, so that no other kind of token is taken for one.
    for name, reason in (("sub", Reason.SUB), ("exp", Reason.EXPIRES)):
        if name in claims:
            raise SignalInvalid(reason)
    events = claims.get("events")
    if not isinstance(events, dict) or not events:
        raise SignalInvalid(Reason.EVENTS)
    if not all(isinstance(event, dict) for event in events.values()):
        raise SignalInvalid(Reason.EVENTS)
