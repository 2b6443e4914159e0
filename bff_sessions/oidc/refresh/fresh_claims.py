"""Let the claims of a session follow a refresh of its tokens.

The ID token of the answer, or the UserInfo response, replaces the claims under
BFF_SESSIONS["CLAIMS_KEY"]. What is wrong with either is logged once, and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeGuard

from bff_sessions.identity.claim_names import (
    NOT_CLAIMS,
    OF_ID_TOKEN,
    OF_SIGN_IN,
    STANDARD_CLAIMS,
)
from bff_sessions.identity.claims import person_of
from bff_sessions.identity.id_tokens import read_claims
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.options.providers import FROM_USERINFO, KEEP
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.refresh.id_tokens import IdTokenInvalid, read_id_token, verify_id_token
from bff_sessions.oidc.refresh.userinfo import OtherSubject as OtherSubject
from bff_sessions.oidc.refresh.userinfo import ask, check_subject
from bff_sessions.oidc.transport.deadlines import time_limit

logger = logging.getLogger("bff_sessions.oidc")

# Seconds for the provider's keys and the UserInfo response together. With the 10 of the refresh,
# this is less than the lease.
_TIMEOUT: Final = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fresh:
    """What a session holds after a refresh, beside the tokens."""

    id_token: str | None = field(repr=False)
    claims: dict[str, Any] | None = field(repr=False)
    """The mapping under BFF_SESSIONS["CLAIMS_KEY"]; None if it stays as it is."""


def follow(
    provider: Provider,
    given: object,
    access_token: str,
    *,
    old_id_token: str | None,
    signed_in: object,
    bound: object,
    asked: datetime,
) -> Fresh:
    """Return the claims that follow from a refresh.

    Args:
        given: the ID token in the answer, if it has one.
        access_token: the new one.
        old_id_token: the ID token that the session holds.
        signed_in: what it holds under BFF_SESSIONS["CLAIMS_KEY"].
        bound: what bind_identity() has written.
        asked: when the refresh was sent.

    Raises:
        OtherSubject: if the claims name another subject than those that the session holds. No other
            fault of the claims is raised: the provider has used up the old refresh token, so the
            session must store the new one.
    """
    try:
        return _follow(provider, given, access_token, old_id_token, signed_in, bound, asked)
    except OtherSubject:
        raise
    except Exception as error:
        log_once(
            logger,
            logging.ERROR,
            f"claims {type(error).__name__}",
            provider.issuer,
            "The claims with which %s refreshes cannot be read: %s. The session keeps its ID token "
            "and its claims.",
            type(error).__name__,
        )
        return Fresh(id_token=old_id_token, claims=None)


def _follow(
    provider: Provider,
    given: object,
    access_token: str,
    old_id_token: str | None,
    signed_in: object,
    bound: object,
    asked: datetime,
) -> Fresh:
    earlier, source = _read(old_id_token), provider.options.refresh_claims
    known = signed_in if _names_subject(signed_in) else {}
    # The session may belong to a person at another provider than its tokens.
    binding = bound if _names_subject(bound) and bound["iss"] == provider.issuer else {}
    person = earlier or known or binding
    if person_of(known) != person_of(person):
        known = {}
    claims = userinfo = None
    with time_limit(_TIMEOUT):
        if given and given != old_id_token:
            claims = _read_new(provider, given, person, {**earlier, **known}, bool(known), asked)
        if source == FROM_USERINFO and person:
            userinfo = ask(provider, access_token, person)
    return Fresh(
        id_token=old_id_token if claims is None else str(given),
        claims=_merge(known, earlier, claims, userinfo) if known else None,
    )


def _read_new(
    provider: Provider,
    given: object,
    person: Mapping[str, Any],
    before: Mapping[str, Any],
    has_claims: bool,
    asked: datetime,
) -> dict[str, Any] | None:
    """Return the claims of the new ID token; None if it is ignored."""
    try:
        header, claims = read_id_token(given)
        # Before the signature. 3.1.3.7, 6: the answer is the provider's own, by TLS, so the new
        # access token is not for this subject either.
        if person:
            check_subject(claims, person)
        if provider.options.refresh_claims == KEEP:
            return None
        verify_id_token(
            str(given),
            header,
            claims,
            provider=provider,
            before=before,
            asked=asked.timestamp(),
            # Without claims, the ID token alone says which session it is.
            needs_sid=not has_claims,
        )
    except IdTokenInvalid as invalid:
        log_once(
            logger,
            logging.WARNING,
            f"id_token {invalid.fault.name}",
            provider.issuer,
            "%s refreshes with an ID token that is ignored: %s. The session keeps its ID token and "
            "its claims.",
            invalid.fault.value,
        )
        return None
    return claims


def _merge(
    signed_in: Mapping[str, Any],
    earlier: Mapping[str, Any],
    claims: Mapping[str, Any] | None,
    userinfo: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """Return the mapping that replaces `signed_in`; None if nothing is new.

    Args:
        earlier: the claims of the ID token before.
    """
    if claims is None and userinfo is None:
        return None
    if userinfo is None:
        # A shorter ID token than at sign-in does not take the name away, but it does take a role.
        ended = earlier.keys() - {*STANDARD_CLAIMS, "acr", "amr"}
        new = {name: value for name, value in signed_in.items() if name not in ended}
    else:
        new = {name: signed_in[name] for name in OF_ID_TOKEN if name in signed_in}
        new |= earlier if claims is None else {}
        new |= {name: value for name, value in userinfo.items() if name not in OF_ID_TOKEN}
    new |= claims or {}
    # What belongs to the sign-in stays that of the sign-in, and tokens are stored apart.
    for name in (*OF_SIGN_IN, *NOT_CLAIMS):
        new.pop(name, None)
        if name in signed_in:
            new[name] = signed_in[name]
    # An ID token of the sign-in confirms it, see verify_id_token().
    if "auth_time" not in new and "iat" in signed_in and "auth_time" in (claims or {}):
        new["auth_time"] = (claims or {})["auth_time"]
    return new


def _names_subject(claims: object) -> TypeGuard[Mapping[str, Any]]:
    return person_of(claims) is not None


def _read(id_token: object) -> Mapping[str, Any]:
    """Return the claims of the ID token that the session holds, if it names a subject."""
    try:
        claims = read_claims(id_token)
    except ValueError:
        return {}
    return claims if _names_subject(claims) else {}
