"""Verify logout tokens: OpenID Connect Back-Channel Logout 1.0 with errata set 1, 2.4 and 2.6."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from bff_sessions.contract import check_text, is_moment
from bff_sessions.exceptions import BffSessionsError
from bff_sessions.oidc.addresses import explain_issuer
from bff_sessions.oidc.options import LogoutOptions
from bff_sessions.oidc.providers import Provider, get_provider
from bff_sessions.oidc.signatures import SignatureInvalid, read_token, shown, verify_signature
from bff_sessions.secret import hidden_frames

_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_TYPE: Final = "logout+jwt"
_CLOCKS: Final = "Compare both clocks with 'manage.py check_provider'."


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
        """What the operator compares, for the log: values of single claims, shortened and ASCII,
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
    """The ``exp`` claim, or without one ``iat`` plus MAX_AGE; in both cases plus LEEWAY. The token
    is refused from then on. Aware, UTC."""


@hidden_frames()
def verify_logout_token(token: str) -> LogoutToken:
    """Return the claims of `token`, after verifying that a provider of this site issued it.

    The checks that do not need the provider's keys run before the keys are fetched.
    `bff_sessions.oidc.logout` decides whether the token has been used already. Encrypted tokens are
    not supported.

    Raises:
        LogoutTokenInvalid: if the token breaks a rule of 2.6.
        ProviderUnavailable: if the provider's keys cannot be fetched.
        ImproperlyConfigured: if a provider is not configured correctly.
    """
    header, claims = _read(token)
    provider = _get_provider(claims.get("iss"), claims.get("aud"))
    options = provider.logout_options
    _check_type(header, options)
    _check_signature(token, header, provider)
    _check_claims(claims, provider)
    _check_times(claims, provider, options)
    # Without exp, iat and MAX_AGE decide how long the token is valid and must be remembered.
    expires = claims["exp"] if "exp" in claims else claims["iat"] + options.max_age
    return LogoutToken(
        issuer=provider.issuer,
        subject_id=_text(claims, "sub", Reason.SUBJECT),
        session_id=_text(claims, "sid", Reason.SESSION),
        jti=claims["jti"],
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=datetime.fromtimestamp(expires, UTC) + timedelta(seconds=options.leeway),
    )


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        return read_token(token)
    except ValueError:
        raise LogoutTokenInvalid(Reason.MALFORMED) from None


def _get_provider(issuer: object, audience: object) -> Provider:
    provider = None
    if isinstance(issuer, str):
        # Another audience is refused later, after the signature.
        provider = get_provider(issuer, _texts(audience)) or get_provider(issuer)
    if provider is None:
        nearest = f" {explain_issuer(issuer)}" if isinstance(issuer, str) else ""
        raise LogoutTokenInvalid(Reason.ISSUER, f"It is {shown(issuer)}.{nearest}")
    return provider


def _check_type(header: dict[str, Any], options: LogoutOptions) -> None:
    type_ = header.get("typ", "JWT")
    # RFC 7515, 4.1.9: typ is compared like a media type, and may leave out "application/".
    name = type_.lower().removeprefix("application/") if isinstance(type_, str) else type_
    # 2.4: logout+jwt is only RECOMMENDED, so accept a plain JWT, but no token of another kind.
    if name != _TYPE and (options.strict_typ or name != "jwt"):
        raise LogoutTokenInvalid(Reason.TYPE, f"It is {shown(type_)}.")


def _check_signature(token: str, header: dict[str, Any], provider: Provider) -> None:
    try:
        verify_signature(token, header, provider)
    except SignatureInvalid as invalid:
        raise LogoutTokenInvalid(Reason[invalid.fault.name], invalid.detail) from None


def _check_claims(claims: dict[str, Any], provider: Provider) -> None:
    audience = claims.get("aud")
    if provider.client_id not in _texts(audience):
        detail = f"It is {shown(audience)}; CLIENT_ID is {shown(provider.client_id)}."
        raise LogoutTokenInvalid(Reason.AUDIENCE, detail)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise LogoutTokenInvalid(Reason.ID)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict):
        raise LogoutTokenInvalid(Reason.EVENT)
    # 2.4: "A nonce Claim MUST NOT be present". This includes an empty one.
    if "nonce" in claims:
        raise LogoutTokenInvalid(Reason.NONCE)
    if "sub" not in claims and "sid" not in claims:
        raise LogoutTokenInvalid(Reason.NOBODY)


def _check_times(claims: dict[str, Any], provider: Provider, options: LogoutOptions) -> None:
    now, leeway = time.time(), options.leeway
    issued = claims.get("iat")
    if "exp" in claims or not provider.options.allow_missing_exp:
        _check_expiry(claims.get("exp"), now, leeway)
    if not is_moment(issued):
        raise LogoutTokenInvalid(Reason.ISSUED)
    if issued > now + leeway:
        detail = f"Its iat is {issued - now:.0f} seconds ahead; LEEWAY is {leeway}. {_CLOCKS}"
        raise LogoutTokenInvalid(Reason.PREMATURE, detail)
    # Refuse it at the boundary, too, because its record may be deleted then.
    if issued <= now - leeway - options.max_age:
        limits = f"MAX_AGE is {options.max_age} and LEEWAY {leeway}"
        detail = f"Its iat was {now - issued:.0f} seconds ago; {limits}. {_CLOCKS}"
        raise LogoutTokenInvalid(Reason.OUTDATED, detail)


def _check_expiry(expires: object, now: float, leeway: float) -> None:
    if not is_moment(expires):
        raise LogoutTokenInvalid(Reason.EXPIRES)
    if expires <= now - leeway:
        detail = f"Its exp was {now - expires:.0f} seconds ago; LEEWAY is {leeway}. {_CLOCKS}"
        raise LogoutTokenInvalid(Reason.EXPIRED, detail)


def _texts(audience: object) -> list[str]:
    values = audience if isinstance(audience, list) else [audience]
    return [value for value in values if isinstance(value, str)]


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
