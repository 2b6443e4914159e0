"""Refresh tokens at a provider's token endpoint: RFC 6749, 6, and OpenID Connect Core 1.0, 12."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeGuard

from bff_sessions.contract import is_moment
from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.identity.id_tokens import read_claims
from bff_sessions.oidc.http import Response, asking
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.refusals import Meaning, Refusal
from bff_sessions.oidc.sources import NOT_ASKED
from bff_sessions.oidc.tokens import Tokens
from bff_sessions.sansio import Steps, call

logger = logging.getLogger("bff_sessions.oidc")

# Seconds for which this process sends nothing to a token endpoint that did not answer.
_PAUSE: Final = 5.0
_ENDPOINT: Final = "token_endpoint"
# When the token endpoint of each issuer failed, and how.
_failed: dict[str, tuple[float, str]] = {}
# Both claims together identify a subject: OpenID Connect Core 1.0, 2.
_SUBJECT: Final = ("iss", "sub")


class RefreshRefused(BffSessionsError):
    """The provider refuses to refresh with this refresh token."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"The provider answered with {refusal}.")
        self.is_final = refusal.meaning is Meaning.ENDED
        """True if the refresh token has expired, was revoked or has been used. Otherwise the user
        must act at the provider first, and the token may work again afterwards."""


class OtherSubject(BffSessionsError):
    """The provider issued tokens of another subject."""


def refresh(provider: Provider, old: Tokens, signed_in: object) -> Steps[Tokens]:
    """Return the tokens that the provider issues for the refresh token of `old`.

    Args:
        signed_in: the claims of the subject that the session holds beside the ID token.

    Raises:
        RefreshRefused: if the provider refuses the refresh token.
        OtherSubject: if the answer names another subject than `old` or `signed_in`.
        ClientMisconfigured: if the provider does not accept this site as a client.
        ProviderUnavailable: for any other failure.
    """
    data = {"grant_type": "refresh_token", "refresh_token": old.refresh_token or ""}
    asked = datetime.now(UTC)
    failed_at, fault = _failed.get(provider.issuer, (-_PAUSE, ""))
    if time.monotonic() - failed_at < _PAUSE:
        raise ProviderUnavailable(fault + NOT_ASKED)
    try:
        answer = yield from call(provider.post, provider.apost, _ENDPOINT, data)
    except ProviderUnavailable as error:
        _note_failure(provider.issuer, error)
        raise
    _failed.pop(provider.issuer, None)
    if answer.ok:
        return _to_tokens(answer, old, asked, provider.issuer, signed_in)
    refusal = Refusal.of(answer)
    if refusal.meaning in (Meaning.ENDED, Meaning.REFUSED):
        raise RefreshRefused(refusal)
    unavailable = refusal.to_error(provider.issuer, _ENDPOINT)
    if refusal.meaning is Meaning.WAIT:
        _note_failure(provider.issuer, unavailable)
    raise unavailable


def _note_failure(issuer: str, error: ProviderUnavailable) -> None:
    # The error may come from reading the metadata, which then failed before.
    _failed[issuer] = time.monotonic(), str(error).removesuffix(NOT_ASKED)


def _to_tokens(
    answer: Response, old: Tokens, asked: datetime, issuer: str, signed_in: object
) -> Tokens:
    """Return the tokens in `answer` (RFC 6749, 5.1), with those of `old` where it has none."""
    with asking(issuer, _ENDPOINT):
        given = answer.json()
        access_token = given.get("access_token")
        if not (isinstance(access_token, str) and access_token):
            raise ProviderUnavailable("The provider's answer has no access token.")
    expires_in = _choose_lifetime(given.get("expires_in"), old.expires_in, issuer)

    def text(name: str, before: str | None) -> str | None:
        value = given.get(name)
        return value if isinstance(value, str) and value else before

    return replace(
        old,
        access_token=access_token,
        refresh_token=text("refresh_token", old.refresh_token),
        id_token=_choose_id_token(given.get("id_token"), old.id_token, signed_in, issuer),
        expires_at=None if expires_in is None else asked + timedelta(seconds=expires_in),
        expires_in=expires_in,
        scope=text("scope", old.scope),
        issuer=issuer,
    )


def _choose_lifetime(given: object, before: float | None, issuer: str) -> float | None:
    if not given:
        return before  # RFC 6749, 5.1: expires_in is only RECOMMENDED.
    # Some providers send the number as a text.
    with suppress(ValueError):
        given = float(given) if isinstance(given, str) else given
    if is_moment(given):
        return float(given)
    log_once(
        logger,
        logging.WARNING,
        "expires_in",
        issuer,
        "The lifetime of access tokens of %s is unknown: expires_in must be a number of seconds.",
    )
    return before


def _choose_id_token(
    given: object, before: str | None, signed_in: object, issuer: str
) -> str | None:
    """Return the ID token that the session keeps from now on.

    The identity resolver may read it. An ID token without a subject therefore does not replace one
    that has a subject.

    Raises:
        OtherSubject: if ``iss`` or ``sub`` changes, see OpenID Connect Core 1.0, 12.2.
    """
    if not given or given == before:
        return before
    # 3.1.3.7, 6: the answer is the provider's own, so TLS replaces verifying the signature.
    now, earlier = _claims(given), _claims(before)
    was = earlier if _names_subject(earlier) else signed_in
    if now is not None and _names_subject(was) and _names_another(now, was):
        raise OtherSubject
    if _names_subject(now):
        return str(given)
    log_once(
        logger,
        logging.WARNING,
        "id_token",
        issuer,
        "%s refreshes with an ID token that cannot be read or has no iss and sub. It is ignored, "
        "and the session keeps the ID token of the sign-in. An encrypted one cannot be read.",
    )
    return before


def _names_subject(claims: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(claims, Mapping) and all(
        isinstance(claims.get(name), str) and claims[name].strip() for name in _SUBJECT
    )


def _names_another(now: Mapping[str, Any], was: Mapping[str, Any]) -> bool:
    # A claim that is left out does not name another subject.
    return any(now.get(name) and now[name] != was[name] for name in _SUBJECT)


def _claims(id_token: object) -> dict[str, Any] | None:
    try:
        return read_claims(id_token)
    except ValueError:
        return None
