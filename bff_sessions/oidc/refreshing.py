"""One refresh at a provider's token endpoint: RFC 6749, 6, and OpenID Connect Core 1.0, 12."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bff_sessions.engine.steps import Call, Steps
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.id_tokens import read_claims
from bff_sessions.oidc.http import Response
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.tokens import Tokens

__all__ = ["RefreshRefused", "is_other_subject", "refresh"]

# Seconds for which a provider that did not answer is not waited for once more by this process.
_PAUSE: Final = 5.0
_failed: dict[str, float] = {}
# RFC 6749, 5.2. Any other text of the provider stays out of the log.
_INVALID_GRANT: Final = "invalid_grant"
_ERRORS: Final = frozenset(
    {
        _INVALID_GRANT,
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


class RefreshRefused(Exception):
    """The refresh token has expired, was revoked or has been used."""


def refresh(provider: Provider, old: Tokens) -> Steps[Tokens]:
    """What the provider gives for the refresh token of `old`.

    Raises:
        RefreshRefused: if it is not good any more.
        ProviderUnavailable: for whatever else the provider does, or does not.
    """
    data = {"grant_type": "refresh_token", "refresh_token": old.refresh_token or ""}
    asked = datetime.now(UTC)
    if time.monotonic() - _failed.get(provider.issuer, -_PAUSE) < _PAUSE:
        raise ProviderUnavailable("The provider did not answer well a moment ago.")
    try:
        answer: Response = yield Call(provider, "post", ("token_endpoint", data), {})
    except ProviderUnavailable:
        _failed[provider.issuer] = time.monotonic()
        raise
    _failed.pop(provider.issuer, None)
    if answer.ok:
        return _to_tokens(answer, old, asked, provider.issuer)
    if (error := _error(answer)) == _INVALID_GRANT:
        raise RefreshRefused
    raise ProviderUnavailable(f"The provider refreshes no tokens: {error}.")


def _to_tokens(answer: Response, old: Tokens, asked: datetime, issuer: str) -> Tokens:
    """RFC 6749, 5.1, after `old`: what the provider does not give anew stays."""
    given = answer.json()
    access_token = given.get("access_token")
    if not (isinstance(access_token, str) and access_token):
        raise ProviderUnavailable("The provider's answer has no access token.")
    expires_in: float | None
    expires_at: datetime | None
    try:
        expires_in = float(given.get("expires_in") or old.expires_in or "")
        expires_at = asked + timedelta(seconds=expires_in)
    except (TypeError, ValueError, OverflowError):
        expires_in = expires_at = None  # It is RECOMMENDED only.

    def text(name: str, before: str | None) -> str | None:
        value = given.get(name)
        return value if isinstance(value, str) and value else before

    return replace(
        old,
        access_token=access_token,
        refresh_token=text("refresh_token", old.refresh_token),
        id_token=text("id_token", old.id_token),
        expires_at=expires_at,
        expires_in=expires_in,
        scope=text("scope", old.scope),
        issuer=issuer,
    )


def is_other_subject(old: Tokens, new: Tokens, signed_in: object) -> bool:
    """OpenID Connect Core 1.0, 12.2: ``iss`` and ``sub`` MUST stay what they were.

    Args:
        signed_in: the claims that are kept of who signed in, where the id token is not.
    """
    if new.id_token is None or old.id_token == new.id_token:
        return False
    # 3.1.3.7, 6: it comes from the provider itself, so TLS stands for the signature.
    was = signed_in if old.id_token is None else _claims(old.id_token)
    now = _claims(new.id_token)
    if not (isinstance(was, Mapping) and was.get("iss") and was.get("sub")):
        return False
    return now is None or any(now.get(name) != was[name] for name in ("iss", "sub"))


def _claims(id_token: str) -> dict[str, Any] | None:
    try:
        return read_claims(id_token)
    except ValueError:
        return None


def _error(answer: Response) -> str:
    """RFC 6749, 5.2."""
    try:
        error = answer.json().get("error")
    except ProviderUnavailable:
        error = None
    if isinstance(error, str) and error in _ERRORS:
        return error
    return f"status {answer.status_code}"
