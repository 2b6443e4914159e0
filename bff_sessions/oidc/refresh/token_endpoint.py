"""Refresh tokens at a provider's token endpoint: RFC 6749, 6, and OpenID Connect Core 1.0, 12."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from bff_sessions.contract import is_moment
from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.providers.sources import NOT_ASKED
from bff_sessions.oidc.tokens import Tokens
from bff_sessions.oidc.transport.http import Response, asking
from bff_sessions.oidc.transport.refusals import Meaning, Refusal
from bff_sessions.sansio import Steps, call

logger = logging.getLogger("bff_sessions.oidc")

# Seconds for which this process sends nothing to a token endpoint that did not answer.
_PAUSE: Final = 5.0
_ENDPOINT: Final = "token_endpoint"
# When the token endpoint failed for each client, and how. One issuer may have several endpoints, as
# tenants may set them.
_failed: MutableMapping[Provider, tuple[float, str]] = WeakKeyDictionary()


class RefreshRefused(BffSessionsError):
    """The provider refuses to refresh with this refresh token."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"The provider answered with {refusal}.")
        self.is_final = refusal.meaning is Meaning.ENDED
        """True if the refresh token has expired, was revoked or has been used. Otherwise the user
        must act at the provider first, and the token may work again afterwards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """The tokens that the provider issues for a refresh token."""

    tokens: Tokens
    """With the ID token of the session, because the new one is not verified yet."""
    id_token: object = field(repr=False)
    """The new one, if the answer has one."""
    asked: datetime
    """When the refresh was sent."""


def refresh(provider: Provider, old: Tokens) -> Steps[Issued]:
    """Return what the provider issues for the refresh token of `old`.

    Raises:
        RefreshRefused: if the provider refuses the refresh token.
        ClientMisconfigured: if the provider does not accept this site as a client.
        ProviderUnavailable: for any other failure.
    """
    data = {"grant_type": "refresh_token", "refresh_token": old.refresh_token or ""}
    asked = datetime.now(UTC)
    failed_at, fault = _failed.get(provider, (-_PAUSE, ""))
    if time.monotonic() - failed_at < _PAUSE:
        raise ProviderUnavailable(fault + NOT_ASKED)
    try:
        answer = yield from call(provider.post, provider.apost, _ENDPOINT, data)
    except ProviderUnavailable as error:
        _note_failure(provider, error)
        raise
    _failed.pop(provider, None)
    if answer.ok:
        tokens, id_token = _to_tokens(answer, old, asked, provider.issuer)
        return Issued(tokens=tokens, id_token=id_token, asked=asked)
    refusal = Refusal.of(answer)
    if refusal.meaning in (Meaning.ENDED, Meaning.REFUSED):
        raise RefreshRefused(refusal)
    unavailable = refusal.to_error(provider.issuer, _ENDPOINT)
    if refusal.meaning is Meaning.WAIT:
        _note_failure(provider, unavailable)
    raise unavailable


def _note_failure(provider: Provider, error: ProviderUnavailable) -> None:
    # The error may come from reading the metadata, which then failed before.
    _failed[provider] = time.monotonic(), str(error).removesuffix(NOT_ASKED)


def _to_tokens(
    answer: Response, old: Tokens, asked: datetime, issuer: str
) -> tuple[Tokens, object]:
    """Return the tokens in `answer` (RFC 6749, 5.1), with those of `old` where it has none.

    The ID token is that of `old`. That of the answer is the second value.
    """
    with asking(issuer, _ENDPOINT):
        given = answer.json()
        access_token = given.get("access_token")
        if not (isinstance(access_token, str) and access_token):
            raise ProviderUnavailable("The provider's answer has no access token.")
    expires_in = _choose_lifetime(given.get("expires_in"), old.expires_in, issuer)

    def text(name: str, before: str | None) -> str | None:
        value = given.get(name)
        return value if isinstance(value, str) and value else before

    tokens = replace(
        old,
        access_token=access_token,
        refresh_token=text("refresh_token", old.refresh_token),
        expires_at=None if expires_in is None else asked + timedelta(seconds=expires_in),
        expires_in=expires_in,
        scope=text("scope", old.scope),
        issuer=issuer,
    )
    return tokens, given.get("id_token")


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
