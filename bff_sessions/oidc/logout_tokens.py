"""Logout tokens: OpenID Connect Back-Channel Logout 1.0 with errata set 1, 2.4 and 2.6."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import jwt

from bff_sessions.contract import check_text, is_moment
from bff_sessions.exceptions import BffSessionsError
from bff_sessions.identity.jws import read_jws
from bff_sessions.oidc.keys import KeySetMissing
from bff_sessions.oidc.options import LogoutOptions
from bff_sessions.oidc.providers import Provider, get_provider
from bff_sessions.secret import hidden_frames

__all__ = ["LogoutToken", "LogoutTokenInvalid", "Reason", "verify_logout_token"]

_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_TYPE: Final = "logout+jwt"


class Reason(Enum):
    """Why a logout token is refused. Each says so to the provider, and nothing of the token.

    The sentences are without quotes, as RFC 6749, 5.2 wants an ``error_description``.
    """

    MALFORMED = "The logout token must be a signed JSON Web Token."
    ALGORITHM = "The logout token is signed with an algorithm that is not allowed."
    TYPE = "The logout token has a typ of something else."
    ISSUER = "The iss of the logout token does not name a provider of this site."
    KEY = "The logout token is signed with a key that the provider does not have."
    NO_KEYS = "The logout token cannot be verified: the provider has no jwks_uri."
    SIGNATURE = "The signature of the logout token is wrong."
    AUDIENCE = "The aud of the logout token does not name this site."
    EXPIRES = "The logout token has no exp that is a number."
    EXPIRED = "The logout token has expired."
    ISSUED = "The logout token has no iat that is a number."
    PREMATURE = "The logout token is issued in the future."
    OUTDATED = "The logout token was issued too long ago."
    ID = "The logout token has no jti that is a text."
    EVENT = "The events of the logout token have no object of back-channel logout."
    NONCE = "The logout token has a nonce, as only id tokens may."
    SUBJECT = "The sub of the logout token must be a text of 1 to 255 characters."
    SESSION = "The sid of the logout token must be a text of 1 to 255 characters."
    NOBODY = "The logout token has neither sub nor sid."
    REPLAYED = "The logout token has been used already."


class LogoutTokenInvalid(BffSessionsError):
    """A logout token is refused."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
        """The first fault that it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogoutToken:
    """What a provider's logout token says, and has been verified."""

    issuer: str
    """The ``iss`` claim, one of BFF_SESSIONS["PROVIDERS"]."""
    subject_id: str | None
    """The ``sub`` claim."""
    session_id: str | None
    """The ``sid`` claim; at least one of both is there."""
    jti: str
    """What is unique to this token of this issuer."""
    issued_at: datetime
    """The ``iat`` claim. Aware, UTC."""
    expires_at: datetime
    """The ``exp`` claim, or ``iat`` plus MAX_AGE without one, and LEEWAY: from then on the times of
    the token refuse it. Aware, UTC."""


@hidden_frames()
def verify_logout_token(token: str) -> LogoutToken:
    """What `token` says, if a provider of this site has said so and says so now.

    Everything that can be told without the provider's keys is told before they are asked for.
    Whether it has been used already is for `bff_sessions.oidc.logout` to say. Encrypted tokens
    are not understood.

    Raises:
        LogoutTokenInvalid: if it breaks a rule of 2.6.
        ProviderUnavailable: if the provider's keys cannot be had.
        ImproperlyConfigured: as get_provider().
    """
    header, claims = _read(token)
    provider = _get_provider(claims.get("iss"))
    options = provider.logout_options
    _check_header(header, provider, options)
    _check_signature(token, header, provider)
    _check_claims(claims, provider)
    _check_times(claims, provider, options)
    # Without exp, iat and MAX_AGE say how long it is good for, and so must be remembered.
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
        # PyJWT also reads padding, a byte order mark, UTF-16 and repeated names.
        header, claims = read_jws(token)
        # PyJWT refuses headers that it does not understand, such as ``crit``.
        jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise LogoutTokenInvalid(Reason.MALFORMED) from None
    return header, claims


def _get_provider(issuer: object) -> Provider:
    provider = get_provider(issuer) if isinstance(issuer, str) else None
    if provider is None:
        raise LogoutTokenInvalid(Reason.ISSUER)
    return provider


def _check_header(header: dict[str, Any], provider: Provider, options: LogoutOptions) -> None:
    type_ = header.get("typ", "JWT")
    # RFC 7515, 4.1.9: compared like media types, and "application/" may be left out.
    name = type_.lower().removeprefix("application/") if isinstance(type_, str) else type_
    # 2.4: logout+jwt is RECOMMENDED, so that others may come, but no token of another kind.
    if name != _TYPE and (options.strict_typ or name != "jwt"):
        raise LogoutTokenInvalid(Reason.TYPE)
    # By our list, never by the token: neither none, nor HMAC with what is a public key.
    if header.get("alg") not in provider.options.algorithms:
        raise LogoutTokenInvalid(Reason.ALGORITHM)


def _check_signature(token: str, header: dict[str, Any], provider: Provider) -> None:
    try:
        key = provider.keys.find(header.get("kid"), header["alg"])
    except KeySetMissing:
        raise LogoutTokenInvalid(Reason.NO_KEYS) from None
    if key is None:
        raise LogoutTokenInvalid(Reason.KEY)
    # The claims are for the functions below: PyJWT takes "1700000000" and true for a moment.
    options: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "sub", "jti")}
    options["enforce_minimum_key_length"] = True
    try:
        jwt.decode(token, key, algorithms=provider.options.algorithms, options=options)
    except jwt.InvalidSignatureError:
        raise LogoutTokenInvalid(Reason.SIGNATURE) from None
    except jwt.PyJWTError:
        raise LogoutTokenInvalid(Reason.KEY) from None


def _check_claims(claims: dict[str, Any], provider: Provider) -> None:
    audience = claims.get("aud")
    if provider.client_id not in (audience if isinstance(audience, list) else [audience]):
        raise LogoutTokenInvalid(Reason.AUDIENCE)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise LogoutTokenInvalid(Reason.ID)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict):
        raise LogoutTokenInvalid(Reason.EVENT)
    # 2.4: "A nonce Claim MUST NOT be present", an empty one neither.
    if "nonce" in claims:
        raise LogoutTokenInvalid(Reason.NONCE)
    if "sub" not in claims and "sid" not in claims:
        raise LogoutTokenInvalid(Reason.NOBODY)


def _check_times(claims: dict[str, Any], provider: Provider, options: LogoutOptions) -> None:
    now, leeway = time.time(), options.leeway
    issued = claims.get("iat")
    if "exp" in claims or not provider.options.allow_missing_exp:
        _check_expiry(claims.get("exp"), now - leeway)
    if not is_moment(issued):
        raise LogoutTokenInvalid(Reason.ISSUED)
    if issued > now + leeway:
        raise LogoutTokenInvalid(Reason.PREMATURE)
    # At that very moment the token may be forgotten, too.
    if issued <= now - leeway - options.max_age:
        raise LogoutTokenInvalid(Reason.OUTDATED)


def _check_expiry(expires: object, earliest: float) -> None:
    if not is_moment(expires):
        raise LogoutTokenInvalid(Reason.EXPIRES)
    if expires <= earliest:
        raise LogoutTokenInvalid(Reason.EXPIRED)


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
