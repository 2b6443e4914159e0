"""Verify an ID token that comes with a refresh: OpenID Connect Core 1.0, 12.2 and 3.1.3.7."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

from bff_sessions.contract import is_moment
from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.identity.claims import claim, person_of
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.verification.signatures import (
    SignatureInvalid,
    SignatureUndecided,
    read_token,
    verify_signature,
)


class IdTokenFault(Enum):
    """Why an ID token that comes with a refresh is ignored, as the end of a sentence."""

    UNREADABLE = "it cannot be read: it is encrypted, or not a signed JSON Web Token"
    NOBODY = "it has no iss or no sub"
    ISSUER = "its iss is not the provider's"
    KEYS_UNAVAILABLE = "the provider's keys could not be fetched"
    ALGORITHM = "it is signed with an algorithm that is not in ALGORITHMS"
    NO_KEYS = "the provider has no jwks_uri"
    KEY = "it is signed with a key that the provider does not have"
    SIGNATURE = "its signature is wrong"
    AUDIENCE = "its aud does not name this site"
    OTHER_AUDIENCE = "its aud has changed since the sign-in"
    PARTY = "its azp is not that of the sign-in"
    EXPIRED = "its exp must be in the future"
    ISSUED = "its iat must be the time of the refresh"
    AUTH_TIME = "its auth_time must be the time of the sign-in"
    NONCE = "its nonce is not that of the sign-in"
    SESSION = "its sid is not that of the sign-in"


class IdTokenInvalid(BffSessionsError):
    """An ID token that comes with a refresh is ignored."""

    def __init__(self, fault: IdTokenFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def read_id_token(token: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of `token`, not yet verified.

    Raises:
        IdTokenInvalid: if it cannot be read.
    """
    try:
        return read_token(token)
    except ValueError:
        raise IdTokenInvalid(IdTokenFault.UNREADABLE) from None


def verify_id_token(
    token: str,
    header: dict[str, Any],
    claims: Mapping[str, Any],
    *,
    provider: Provider,
    before: Mapping[str, Any],
    asked: float,
    needs_sid: bool,
) -> None:
    """Verify what read_id_token() has returned.

    The caller has compared ``iss`` and ``sub`` with those of the sign-in.

    Args:
        before: the claims of the ID token of the sign-in, as far as the session has them.
        asked: when the refresh was sent, in seconds since 1970.
        needs_sid: whether ``sid`` must be in both or in neither. Otherwise either may lack it.

    Raises:
        IdTokenInvalid: if the token breaks a rule.
    """
    if person_of(claims) is None:
        raise IdTokenInvalid(IdTokenFault.NOBODY)
    if claims["iss"] != provider.issuer:
        raise IdTokenInvalid(IdTokenFault.ISSUER)
    _check_signature(token, header, provider)
    _check_audience(claims, before, provider.client_id)
    _check_times(claims, before, asked, provider.logout_options.leeway)
    # The nonce answers the request of the sign-in. A refresh need not repeat it.
    if "nonce" in claims and _is_whole(before) and claims["nonce"] != before.get("nonce"):
        raise IdTokenInvalid(IdTokenFault.NONCE)
    # Another sid would make it another session, which a logout token for this one does not end.
    sid, old_sid = claim(claims, "sid"), claim(before, "sid")
    if sid != old_sid and (needs_sid or (sid is not None and old_sid is not None)):
        raise IdTokenInvalid(IdTokenFault.SESSION)


def _check_signature(token: str, header: dict[str, Any], provider: Provider) -> None:
    try:
        verify_signature(token, header, provider)
    except (SignatureInvalid, SignatureUndecided) as error:
        raise IdTokenInvalid(IdTokenFault[error.fault.name]) from None
    except ProviderUnavailable:
        raise IdTokenInvalid(IdTokenFault.KEYS_UNAVAILABLE) from None


def _check_audience(claims: Mapping[str, Any], before: Mapping[str, Any], client_id: str) -> None:
    audience, party = _audience(claims), claims.get("azp")
    if client_id not in audience:
        raise IdTokenInvalid(IdTokenFault.AUDIENCE)
    if _is_whole(before):
        if sorted(audience) != sorted(_audience(before)):
            raise IdTokenInvalid(IdTokenFault.OTHER_AUDIENCE)
        if party != before.get("azp"):
            raise IdTokenInvalid(IdTokenFault.PARTY)
    elif party not in (None, client_id):
        raise IdTokenInvalid(IdTokenFault.PARTY)


def _check_times(
    claims: Mapping[str, Any], before: Mapping[str, Any], asked: float, leeway: float
) -> None:
    now, issued, expires = time.time(), claims.get("iat"), claims.get("exp")
    if not is_moment(expires) or expires <= now - leeway:
        raise IdTokenInvalid(IdTokenFault.EXPIRED)
    if not (is_moment(issued) and asked - leeway <= issued <= now + leeway):
        raise IdTokenInvalid(IdTokenFault.ISSUED)
    if "auth_time" not in claims:
        return
    # "Not the time that the new ID token is issued": views ask by it for a recent sign-in.
    signed_in, first_issued = before.get("auth_time"), before.get("iat")
    given = claims["auth_time"]
    if not is_moment(given):
        raise IdTokenInvalid(IdTokenFault.AUTH_TIME)
    if signed_in is not None:
        is_right = given == signed_in
    elif is_moment(first_issued):
        is_right = given <= first_issued + leeway
    else:
        is_right = first_issued is None  # Then it is left out of the claims.
    if not is_right:
        raise IdTokenInvalid(IdTokenFault.AUTH_TIME)


def _audience(claims: Mapping[str, Any]) -> list[str]:
    value = claims.get("aud")
    return [each for each in (value if isinstance(value, list) else [value]) if type(each) is str]


def _is_whole(before: Mapping[str, Any]) -> bool:
    # A project may store a few claims only. Every ID token has an aud.
    return "aud" in before
