"""Ask the UserInfo endpoint for claims, as JSON or signed: OpenID Connect Core 1.0, 5.3."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from bff_sessions.contract import is_moment
from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.transport import http
from bff_sessions.oidc.verification.signatures import (
    SignatureInvalid,
    SignatureUndecided,
    read_token,
    verify_signature,
)

logger = logging.getLogger("bff_sessions.oidc")

# Both claims together identify a subject: OpenID Connect Core 1.0, 2.
_SUBJECT: Final = ("iss", "sub")
_ACCEPTED: Final = "application/json, application/jwt"


class OtherSubject(BffSessionsError):
    """The provider answered with claims of another subject."""


class UserinfoFault(Enum):
    """Why a UserInfo response is ignored, as the end of a sentence."""

    NO_ENDPOINT = "the provider has no userinfo_endpoint"
    UNAVAILABLE = "it could not be fetched"
    UNREADABLE = "it must be a JSON object, or a signed JSON Web Token"
    ENCRYPTED = "it is encrypted, which is not supported"
    KEYS_UNAVAILABLE = "the provider's keys could not be fetched"
    ALGORITHM = "it is signed with an algorithm that is not in ALGORITHMS"
    NO_KEYS = "the provider has no jwks_uri"
    KEY = "it is signed with a key that the provider does not have"
    SIGNATURE = "its signature is wrong"
    ISSUER = "it is signed, and its iss is not the provider's"
    AUDIENCE = "it is signed, and its aud does not name this site"
    EXPIRED = "its exp must be in the future"
    NOBODY = "it has no sub"


class _UserinfoInvalid(BffSessionsError):
    def __init__(self, fault: UserinfoFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def ask(provider: Provider, access_token: str, person: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the claims of the UserInfo response; None if it is ignored.

    Raises:
        OtherSubject: if it names another subject than `person`.
    """
    try:
        return _read(provider, _fetch(provider, access_token), person)
    except _UserinfoInvalid as invalid:
        log_once(
            logger,
            logging.WARNING,
            f"userinfo {invalid.fault.name}",
            provider.issuer,
            "The UserInfo response of %s is ignored: %s. The session keeps its claims.",
            invalid.fault.value,
        )
        return None


def check_subject(now: Mapping[str, Any], was: Mapping[str, Any]) -> None:
    """Check that `now` does not name another subject than `was`.

    Raises:
        OtherSubject: if it does. A claim that is left out does not name another subject.
    """
    if any(now.get(name) and now[name] != was[name] for name in _SUBJECT):
        raise OtherSubject


def _fetch(provider: Provider, access_token: str) -> http.Response:
    try:
        url = provider.find_endpoint("userinfo_endpoint")
        if url is None:
            raise _UserinfoInvalid(UserinfoFault.NO_ENDPOINT)
        answer = http.get(url, authorization=f"Bearer {access_token}", accept=_ACCEPTED)
    except ProviderUnavailable:
        raise _UserinfoInvalid(UserinfoFault.UNAVAILABLE) from None
    if answer.status_code != 200:
        raise _UserinfoInvalid(UserinfoFault.UNAVAILABLE)
    return answer


def _read(provider: Provider, answer: http.Response, person: Mapping[str, Any]) -> dict[str, Any]:
    try:
        claims = answer.json()
    except ProviderUnavailable:
        claims = _read_signed(provider, answer.content, person)
    # 5.3.2: sub "MUST be verified to exactly match the sub Claim in the ID Token".
    check_subject(claims, person)
    if claims.get("sub") != person["sub"]:
        raise _UserinfoInvalid(UserinfoFault.NOBODY)
    return claims


def _read_signed(provider: Provider, content: bytes, person: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a signed response, after its signature, ``iss`` and ``aud``: 5.3.2."""
    token = content.decode("ascii", "replace").strip()
    # RFC 7516, 7.1: an encrypted one has five parts, of which the last may be empty.
    if token.count(".") == 4:
        raise _UserinfoInvalid(UserinfoFault.ENCRYPTED)
    try:
        header, claims = read_token(token)
    except ValueError:
        raise _UserinfoInvalid(UserinfoFault.UNREADABLE) from None
    # Before the signature: the answer is the provider's own, by TLS, so the access token is not for
    # this subject either.
    check_subject({"sub": claims.get("sub")}, person)
    try:
        verify_signature(token, header, provider)
    except (SignatureInvalid, SignatureUndecided) as error:
        raise _UserinfoInvalid(UserinfoFault[error.fault.name]) from None
    except ProviderUnavailable:
        raise _UserinfoInvalid(UserinfoFault.KEYS_UNAVAILABLE) from None
    audience, expires = claims.get("aud"), claims.get("exp")
    if claims.get("iss") != provider.issuer:
        raise _UserinfoInvalid(UserinfoFault.ISSUER)
    if provider.client_id not in (audience if isinstance(audience, list) else [audience]):
        raise _UserinfoInvalid(UserinfoFault.AUDIENCE)
    earliest = time.time() - provider.logout_options.leeway
    if "exp" in claims and not (is_moment(expires) and expires > earliest):
        raise _UserinfoInvalid(UserinfoFault.EXPIRED)
    return claims
