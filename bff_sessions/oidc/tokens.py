"""Where the tokens of a session live: BFF_SESSIONS["TOKENS"]. Imports nothing that is optional."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from bff_sessions import conf
from bff_sessions.contract import DeletedSession, is_moment
from bff_sessions.protection import unprotect

__all__ = ["Tokens", "keep_tokens", "read_tokens", "tokens_of"]

# mozilla-django-oidc's own names. Its 5.0 keeps no refresh token and not when the access token
# expires: "oidc_id_token_expiration" is when it signs in silently once more.
_MOZILLA = {
    "access_token": "oidc_access_token",
    "refresh_token": "oidc_refresh_token",
    "id_token": "oidc_id_token",
    "expires_at": "oidc_token_expiration",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """What the provider gave when somebody signed in, or when it was last refreshed."""

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    """When the access token expires; None where that is unknown. Aware, UTC."""
    expires_in: float | None = None
    """How long it was good for when it was issued, in seconds; None where that is unknown."""
    scope: str | None = None
    """What it was issued for, separated by blanks; None where that is unknown."""
    issuer: str | None = None
    """The provider; None: the one at which the session's subject signed in."""

    @property
    def seconds_left(self) -> float:
        """How long the access token is still good for; infinite where that is unknown."""
        if self.access_token is None:
            return -math.inf
        if self.expires_at is None:
            return math.inf
        return (self.expires_at - datetime.now(UTC)).total_seconds()

    @property
    def is_offline(self) -> bool:
        """Whether they were given for when the user is away: OpenID Connect Core 1.0, 11."""
        return self.scope is not None and "offline_access" in self.scope.split()


def keep_tokens(data: Any, new: Tokens | None = None) -> Tokens | None:
    """The default of BFF_SESSIONS["TOKENS"].

    A mapping under BFF_SESSIONS["CLAIMS_KEY"] with the names that Authlib uses (access_token,
    refresh_token, id_token, expires_at as seconds since 1970, expires_in, scope) and ``iss``; else
    what mozilla-django-oidc keeps.

    Args:
        data: session data: a dictionary, or the loaded session itself.
        new: is to be kept there from now on, instead.

    Returns:
        What is kept there; None if there is neither an access token nor a refresh token.
    """
    kept = data.get(conf.CLAIMS_KEY)
    if isinstance(kept, Mapping) and _to_tokens(kept) is not None:
        if new is not None:
            # Another object, so that the session notices.
            data[conf.CLAIMS_KEY] = kept = {**kept, **_to_values(new)}
        return _to_tokens(kept)
    tokens = _to_tokens({name: data.get(key) for name, key in _MOZILLA.items()})
    if tokens is None or new is None:
        return tokens
    values = _to_values(new)
    for name, key in _MOZILLA.items():
        if values[name] is not None:
            data[key] = values[name]
        else:
            data.pop(key, None)
    return new


def _to_tokens(kept: Mapping[str, Any]) -> Tokens | None:
    access_token, refresh_token = _text(kept.get("access_token")), _text(kept.get("refresh_token"))
    if access_token is None and refresh_token is None:
        return None
    scope, expires_at = kept.get("scope"), _number(kept.get("expires_at"))
    if isinstance(scope, (list, tuple)):
        scope = " ".join(map(str, scope))
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token,
        id_token=_text(kept.get("id_token")),
        expires_at=None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
        expires_in=_number(kept.get("expires_in")),
        scope=_text(scope),
        issuer=_text(kept.get("iss")),
    )


def _to_values(tokens: Tokens) -> dict[str, Any]:
    expires_at = tokens.expires_at
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "id_token": tokens.id_token,
        "expires_at": None if expires_at is None else int(expires_at.timestamp()),
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _number(value: object) -> float | None:
    return value if is_moment(value) else None


@sensitive_variables()
def read_tokens(data: Any, new: Tokens | None = None) -> Tokens | None:
    """Ask the configured function for the tokens in session data, or let it keep `new` there.

    Raises:
        ImproperlyConfigured: if the function cannot be imported, or answers with anything else.
    """
    tokens = conf.load_callable("TOKENS")(data, new)
    if not (tokens is None or isinstance(tokens, Tokens)):
        raise ImproperlyConfigured(
            f"BFF_SESSIONS['TOKENS'] must return Tokens or None, not {type(tokens).__name__}."
        )
    return tokens


@sensitive_variables()
def tokens_of(session: DeletedSession) -> Tokens | None:
    """The tokens that a session held which has ended.

    Raises:
        TicketUnreadable: if its ticket does not open.
        ImproperlyConfigured: as read_tokens(). And whatever the function raises.
    """
    plain = unprotect(
        session.ticket, key=session.key, partition=session.partition, bound=session.bound
    )
    return read_tokens(import_string(settings.SESSION_SERIALIZER)().loads(plain))
