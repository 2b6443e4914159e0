"""Verify logout tokens: OpenID Connect Back-Channel Logout 1.0 with errata set 1, 2.4 and 2.6.

They are security event tokens: `bff_sessions.oidc.verification.event_tokens` verifies what these
have in common.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from bff_sessions.contract import check_text
from bff_sessions.exceptions import BffSessionsError
from bff_sessions.oidc.options.addresses import explain_issuer
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.verification.event_tokens import (
    EventTokenInvalid,
    Expected,
    check_times,
    verify_event_token,
)
from bff_sessions.oidc.verification.signatures import shown
from bff_sessions.secret import hidden_frames

_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"


class Reason(Enum):
    """Why a logout token is refused, as a sentence for the provider that does not quote the token.

    The sentences have no quotation marks, as RFC 6749, 5.2 demands of an ``error_description``.
    """

    MALFORMED = "The logout token must be a signed JSON Web Token."
    ALGORITHM = "The logout token is signed with an algorithm that is not allowed."
    TYPE = "The typ of the logout token must be logout+jwt."
    ISSUER = "The iss of the logout token does not name a provider of this site."
    KEY = "The logout token is signed with a key that the provider does not have."
    NO_KEYS = "The logout token cannot be verified: the provider has no jwks_uri."
    SIGNATURE = "The signature of the logout token is wrong."
    AUDIENCE = "The aud of the logout token does not name this site."
    EXPIRES = "The exp of the logout token must be a number."
    EXPIRED = "The logout token has expired."
    ISSUED = "The iat of the logout token must be a number."
    PREMATURE = "The logout token is issued in the future."
    OUTDATED = "The logout token was issued too long ago."
    ID = "The jti of the logout token must be a text."
    EVENT = "The events of the logout token must have an object for back-channel logout."
    NONCE = "The logout token must not have a nonce."
    SUBJECT = "The sub of the logout token must be a text of 1 to 255 characters."
    SESSION = "The sid of the logout token must be a text of 1 to 255 characters."
    NOBODY = "The logout token has neither sub nor sid."
    REPLAYED = "The logout token has been used already."


class LogoutTokenInvalid(BffSessionsError):
    """A logout token is refused.

    Its text is the reason alone, because the provider gets it.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        """The first fault of the token."""
        self.detail = detail
        """Details for the operator's log: values of single claims, shortened and ASCII,
        beside what this site expects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogoutToken:
    """The verified claims of a provider's logout token."""

    issuer: str
    """The ``iss`` claim, one of BFF_SESSIONS["PROVIDERS"]."""
    subject_id: str | None
    """The ``sub`` claim."""
    session_id: str | None
    """The ``sid`` claim. At least one of ``sub`` and ``sid`` is not None."""
    jti: str
    """The ``jti`` claim: unique among the tokens of this issuer."""
    issued_at: datetime
    """The ``iat`` claim. Aware, UTC."""
    expires_at: datetime
    """The ``exp`` claim, or ``iat`` plus MAX_AGE if that is earlier; in both cases plus LEEWAY. The
    token is refused from then on. Aware, UTC."""


@hidden_frames()
def verify_logout_token(token: str) -> LogoutToken:
    """Return the claims of `token`, after verifying that a provider of this site issued it.

    `bff_sessions.oidc.logout.handling` decides whether the token has been used already.

    Raises:
        LogoutTokenInvalid: if the token breaks a rule of 2.6.
        ProviderUnavailable: if the provider's keys cannot be fetched.
        ImproperlyConfigured: if a provider is not configured correctly.
    """
    try:
        claims, expected = verify_event_token(token, _find_expected)
        _check_claims(claims)
        needs_exp = not expected.signer.options.allow_missing_exp
        check_times(claims, expected, now=time.time(), needs_exp=needs_exp)
    except EventTokenInvalid as invalid:
        raise LogoutTokenInvalid(Reason[invalid.fault.name], invalid.detail) from None
    # Both limits are checked, so the token need not be remembered beyond the earlier one.
    oldest = claims["iat"] + expected.max_age
    expires = min(claims.get("exp", oldest), oldest)
    return LogoutToken(
        issuer=expected.signer.issuer,
        subject_id=_text(claims, "sub", Reason.SUBJECT),
        session_id=_text(claims, "sid", Reason.SESSION),
        jti=claims["jti"],
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=datetime.fromtimestamp(expires, UTC) + timedelta(seconds=expected.leeway),
    )


def _find_expected(issuer: object, audience: Collection[str]) -> Expected:
    provider = None
    if isinstance(issuer, str):
        # Another audience is refused later, after the signature.
        provider = get_provider(issuer, audience, or_first=True)
    if provider is None:
        nearest = f" {explain_issuer(issuer)}" if isinstance(issuer, str) else ""
        raise LogoutTokenInvalid(Reason.ISSUER, f"It is {shown(issuer)}.{nearest}")
    options = provider.logout_options
    return Expected(
        signer=provider,
        typ="logout+jwt",
        # 2.4: logout+jwt is only RECOMMENDED, so accept a plain JWT, but no token of another kind.
        needs_typ=options.strict_typ,
        audiences=[provider.client_id],
        audience_option="CLIENT_ID",
        max_age=options.max_age,
        leeway=options.leeway,
    )


def _check_claims(claims: dict[str, Any]) -> None:
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict):
        raise LogoutTokenInvalid(Reason.EVENT)
    # 2.4: "A nonce Claim MUST NOT be present". This includes an empty one.
    if "nonce" in claims:
        raise LogoutTokenInvalid(Reason.NONCE)
    if "sub" not in claims and "sid" not in claims:
        raise LogoutTokenInvalid(Reason.NOBODY)


def _text(claims: dict[str, Any], name: str, reason: Reason) -> str | None:
    if name not in claims:
        return None
    value = claims[name]
    try:
        check_text(name, value)
    except (TypeError, ValueError):
        value = None
    if value is None:
        raise LogoutTokenInvalid(reason)
    return str(value)
