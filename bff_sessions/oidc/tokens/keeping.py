"""Read and write a session's tokens: BFF_SESSIONS["TOKENS"]. Imports no optional dependency."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.contract import DeletedSession
from bff_sessions.identity import identify
from bff_sessions.identity.claims import audience_of, person_of
from bff_sessions.identity.id_tokens import ID_TOKEN, read_claims
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.tokens import lasuite
from bff_sessions.oidc.tokens.expiry import UNKNOWN_EXPIRY, read_expiry
from bff_sessions.oidc.tokens.values import is_absent, to_scope, to_seconds, to_text
from bff_sessions.protection import open_sealed
from bff_sessions.secret import hidden_frames

logger = logging.getLogger("bff_sessions.oidc")

# The names that mozilla-django-oidc uses, and those that its adapter adds. Its version 5.0 stores
# only the first and the third: "oidc_id_token_expiration" is when it signs in silently again.
_MOZILLA = {
    "access_token": "oidc_access_token",
    "refresh_token": "oidc_refresh_token",
    "id_token": "oidc_id_token",
    "expires_at": "oidc_token_expiration",
    "expires_in": "oidc_token_lifetime",
    "scope": "oidc_token_scope",
}

_REPORTS = {
    "refresh_token": (
        "A refresh token of %s in a session cannot be read, so it is neither used nor revoked. "
        "Is OIDC_STORE_REFRESH_TOKEN_KEY the key that encrypted it? If your project has a format "
        "of its own, name a function that reads it in BFF_SESSIONS['TOKENS']."
    ),
    "expires_at": (
        "The expiry of an access token of %s cannot be read, so the token counts as expired. Store "
        "seconds since 1970 or an ISO 8601 text as expires_at, or name a function that reads it in "
        "BFF_SESSIONS['TOKENS']."
    ),
    "no_expires_at": (
        "The expiry of an access token of %s was not stored, so the token counts as expired. Set "
        "OIDC_CALLBACK_CLASS to bff_sessions.adapters.mozilla.CallbackView or a subclass. A "
        "backend that overrides get_token() must call super()."
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """The tokens that the provider issued at sign-in, or at the last refresh."""

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    """When the access token expires; None if the provider does not say. Aware, UTC."""
    expires_in: float | None = None
    """The lifetime of the access token when it was issued, in seconds; None if unknown."""
    scope: str | None = None
    """The scope of the access token, separated by blanks; None if unknown."""
    issuer: str | None = None
    """The provider; None means the one at which the session's subject signed in."""
    audience: tuple[str, ...] = ()
    """The client IDs for which they may have been issued; empty means those in the ID token."""

    @property
    def seconds_left(self) -> float:
        """The seconds for which the access token is still valid; infinite if unknown."""
        if self.access_token is None:
            return -math.inf
        if self.expires_at is None:
            return math.inf
        return (self.expires_at - datetime.now(UTC)).total_seconds()

    def find_audience(self) -> tuple[str, ...]:
        """Return `audience`, or else ``azp`` and ``aud`` of the ID token; empty if unknown."""
        if self.audience:
            return self.audience
        try:
            return audience_of(read_claims(self.id_token))
        except ValueError:
            return ()

    @property
    def is_offline(self) -> bool:
        """True if they were issued for offline access: OpenID Connect Core 1.0, 11."""
        return self.scope is not None and "offline_access" in self.scope.split()


@hidden_frames()
def keep_tokens(data: Any, new: Tokens | None = None) -> Tokens | None:
    """Return the tokens in session data. If `new` is given, replace them with it first.

    This is the default of BFF_SESSIONS["TOKENS"]. It uses the mapping under
    BFF_SESSIONS["CLAIMS_KEY"], with ``iss`` and the names that Authlib uses: access_token,
    refresh_token, id_token, expires_at, expires_in and scope. Without such a mapping, it uses the
    keys of mozilla-django-oidc. If OIDC_STORE_REFRESH_TOKEN_KEY is set, the refresh token under
    them is encrypted as django-lasuite does.

    An access token counts as expired if read_expiry() cannot read its expiry, or if
    mozilla-django-oidc did not store it. Any other value that cannot be read counts as absent. Each
    is reported once. An unreadable refresh token stays in the session data until a new one replaces
    it.

    Args:
        data: session data: a dictionary, or the loaded session itself.
        new: the tokens that replace those in `data`.

    Returns:
        None if there is neither an access token nor a refresh token.

    Raises:
        ImproperlyConfigured: if `new` is given and OIDC_STORE_REFRESH_TOKEN_KEY is not a Fernet
            key.
    """
    claims = data.get(conf.CLAIMS_KEY)
    tokens = _to_tokens(claims, data, lasuite.read_plain) if isinstance(claims, Mapping) else None
    if tokens is None:
        kept = {name: data[key] for name, key in _MOZILLA.items() if key in data}
        old = _to_tokens(kept, data, lasuite.decrypt, must_expire=new is None)
        if old is not None:
            return old if new is None else _keep_as_mozilla(data, new, old)
    if new is None or (tokens is None and person_of(claims) is None):
        return tokens
    # A new object, so that the session notices the change.
    data[conf.CLAIMS_KEY] = claims = {**claims, **_to_values(new, tokens or new)}
    return _to_tokens(claims, data, lasuite.read_plain)


def _keep_as_mozilla(data: Any, new: Tokens, before: Tokens) -> Tokens:
    values = _to_values(new, before)
    if new.refresh_token is not None:
        values["refresh_token"] = lasuite.encrypt(new.refresh_token)
    for name, key in _MOZILLA.items():
        # Of an expiry, None says that the provider did not send one.
        if values.get(name) is not None or name == "expires_at":
            data[key] = values[name]
        elif name in values:
            data.pop(key, None)
    return new


def _to_tokens(
    kept: Mapping[str, Any], data: Any, decrypt: Callable[[str], str], *, must_expire: bool = False
) -> Tokens | None:
    """Return the tokens in the mapping `kept`, which comes from the session `data`.

    Args:
        must_expire: whether an access token without the key ``expires_at`` counts as expired.
    """
    access_token, refresh_token = to_text(kept.get("access_token")), None
    try:
        refresh_token = _decrypt(kept.get("refresh_token"), decrypt)
    except ValueError:
        _report(logging.ERROR, "refresh_token", kept, data)
    if access_token is None and refresh_token is None:
        return None
    try:
        expires_at = read_expiry(kept)
    except ValueError:
        expires_at = UNKNOWN_EXPIRY
        _report(logging.ERROR, "expires_at", kept, data)
    if must_expire and "expires_at" not in kept:
        expires_at = UNKNOWN_EXPIRY
        if is_absent(kept.get("refresh_token")):
            _report(logging.ERROR, "no_expires_at", kept, data)
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token,
        id_token=to_text(kept.get("id_token")),
        expires_at=expires_at,
        expires_in=to_seconds(kept.get("expires_in")),
        scope=to_scope(kept.get("scope")),
        issuer=to_text(kept.get("iss")),
        audience=audience_of(kept),
    )


def _decrypt(value: object, decrypt: Callable[[str], str]) -> str | None:
    if is_absent(value):
        return None
    if not isinstance(value, str):
        raise ValueError("The token must be a text.")
    return to_text(decrypt(value))


def _report(level: int, name: str, kept: Mapping[str, Any], data: Any) -> None:
    issuer, others = to_text(kept.get("iss")), dict(data.items())
    id_token = others.pop(ID_TOKEN, None)
    if issuer is None:
        with suppress(ValueError):
            issuer = to_text(read_claims(id_token).get("iss"))
    if issuer is None:
        # A project's own resolver may raise, and a report must not fail a request. The ID token is
        # left out, because the default resolver logs one that it cannot read each time.
        with suppress(Exception):
            issuer = identify(others).issuer
    log_once(logger, level, name, issuer, _REPORTS[name])


def _to_values(tokens: Tokens, before: Tokens) -> dict[str, Any]:
    """Return the values that replace those of `before` in session data."""
    expires_at = tokens.expires_at
    values = {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "id_token": tokens.id_token,
        "expires_at": None if expires_at is None else int(expires_at.timestamp()),
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    }
    if tokens.refresh_token is None and before.refresh_token is None:
        del values["refresh_token"]  # Leave one in place that cannot be read.
    return values


@hidden_frames()
def read_tokens(data: Any, new: Tokens | None = None) -> Tokens | None:
    """Call the configured function to read the tokens in session data, or to store `new` there.

    Raises:
        ImproperlyConfigured: if the function cannot be imported, or returns another type.
    """
    tokens = conf.load_callable("TOKENS")(data, new)
    if not (tokens is None or isinstance(tokens, Tokens)):
        raise ImproperlyConfigured(
            f"BFF_SESSIONS['TOKENS'] must return Tokens or None, not {type(tokens).__name__}."
        )
    return tokens


@hidden_frames()
def tokens_of(session: DeletedSession) -> Tokens | None:
    """Return the tokens in the ticket of an ended session.

    Raises:
        TicketUnreadable: if its ticket does not open.
        ImproperlyConfigured: as read_tokens() does.
        Exception: any error of the configured function.
    """
    bound_to = (session.key, session.partition, *session.bound)
    plain = open_sealed(session.ticket, bound_to=bound_to, purpose="ticket")
    return read_tokens(import_string(settings.SESSION_SERIALIZER)().loads(plain))
