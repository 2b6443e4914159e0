"""The keys of settings.BFF_SESSIONS with their defaults, read late.

Use as ``conf.STORE``; ``override_settings(BFF_SESSIONS=...)`` takes effect at once.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

STORE: str
"""Dotted path of the `UserSessionStore` subclass."""
PARTITION: str
"""Name of this application among those that share the store; 1 to 100 characters."""
ENCRYPTION_KEYS: Sequence[str | bytes] | None
"""Master keys, newest first; None: SECRET_KEY and SECRET_KEY_FALLBACKS."""
IDENTITY_RESOLVER: str
"""Dotted path of a callable from session data (a dict) to an `Identity`."""
CLAIMS_KEY: str
"""Session key of a mapping with the claims ``iss``, ``sub`` and perhaps ``sid``."""
ATOMIC_KEYS: Collection[str]
"""Session keys whose dictionaries never merge: each is one value, as token sets are."""
RENEW_AFTER: float | None
"""Fraction of the lifetime, 0 to 1, after which a request that only reads renews the session; None:
only a save does."""
ABSOLUTE_LIFETIME: timedelta | None
"""How long a session lives after sign-in at most, however often it is renewed; None: no limit."""
MAX_SESSIONS_PER_SUBJECT: int | None
"""Live sessions that a subject may have in this partition; None: no limit."""
CACHED_STORE: str
"""Dotted path of the store behind the cache, where STORE is `CachedUserSessionStore`."""
CACHE: str
"""Alias in settings.CACHES of the cache in front of it."""
MAX_STALE: float
"""Seconds after which a cached session is asked for again in the store; 1 or more."""
TAKE_OVER: str | None
"""Dotted path of the session engine that was used before, whose sessions move here when their
cookies come; None: they do not."""
PROVIDERS: dict[str, dict[str, Any]]
"""The OpenID Providers by their issuers, see `bff_sessions.oidc.providers`."""
BACKCHANNEL_LOGOUT: dict[str, Any]
"""How their logout tokens are taken, see `bff_sessions.oidc.options`."""
ENDPOINTS: Collection[str]
"""Names of the endpoints of `bff_sessions.urls` that are switched on."""
DEVICE: dict[str, Any] | None
"""What is kept of the device that a session is used with, see `bff_sessions.device.options`; None:
nothing."""
ANONYMOUS_STATUS: int
"""What ``GET user`` answers while nobody is signed in: 401, or 200 with ``null``."""
USER_CLAIMS: str
"""Dotted path of a callable from the request to the claims that ``GET user`` shows."""
LOGIN_URL: str | None
"""Where the login library begins: an URL, or the name of one; None: settings.LOGIN_URL."""
LOGIN_NEXT_PARAMETER: str
"""The parameter by which it is told where to lead afterwards."""
TOKENS: str
"""Dotted path of the function that knows where tokens live in session data, see
`bff_sessions.oidc.tokens`."""
TOKEN_REVOCATION: dict[str, Any] | None
"""How tokens of ended sessions are revoked, see `bff_sessions.oidc.options`; None: they are not."""
ACCESS_TOKEN_MARGIN: float
"""Seconds before it expires from which on an access token is refreshed."""

DEFAULTS: Final[dict[str, Any]] = {
    "STORE": "bff_sessions.stores.orm.OrmUserSessionStore",
    "PARTITION": "default",
    "ENCRYPTION_KEYS": None,
    "IDENTITY_RESOLVER": "bff_sessions.identity.resolve_identity",
    "CLAIMS_KEY": "oidc",
    "ATOMIC_KEYS": [],
    "RENEW_AFTER": None,
    "ABSOLUTE_LIFETIME": None,
    "MAX_SESSIONS_PER_SUBJECT": None,
    "CACHED_STORE": "bff_sessions.stores.orm.OrmUserSessionStore",
    "CACHE": "default",
    "MAX_STALE": 30,
    "TAKE_OVER": None,
    "PROVIDERS": {},
    "BACKCHANNEL_LOGOUT": {},
    "ENDPOINTS": ["user", "sessions", "login", "logout", "my-sessions"],
    "DEVICE": None,
    "ANONYMOUS_STATUS": 401,
    "USER_CLAIMS": "bff_sessions.claims.standard_claims",
    "LOGIN_URL": None,
    "LOGIN_NEXT_PARAMETER": "next",
    "TOKENS": "bff_sessions.oidc.tokens.keep_tokens",
    "TOKEN_REVOCATION": {},
    "ACCESS_TOKEN_MARGIN": 60,
}


def __getattr__(name: str) -> Any:
    try:
        default = DEFAULTS[name]
    except KeyError:
        raise AttributeError(f"BFF_SESSIONS has no setting {name!r}.") from None
    # Kept as an attribute: every request asks several times.
    value = globals()[name] = getattr(settings, "BFF_SESSIONS", {}).get(name, default)
    return value


def load_callable(name: str) -> Any:
    """The callable whose dotted path is the value of the setting `name`.

    Raises:
        ImproperlyConfigured: if it cannot be imported (with a cause) or called.
    """
    # Every save asks for one: by the attribute, which is kept.
    return import_callable(getattr(sys.modules[__name__], name), f"BFF_SESSIONS[{name!r}]")


def import_callable(path: Any, place: str) -> Any:
    """The callable at the dotted `path`, for which `place` says where it is set.

    Raises:
        ImproperlyConfigured: as load_callable().
    """
    try:
        found = _import(path)
    except Exception as error:
        raise ImproperlyConfigured(
            f"{place} cannot be imported: {path!r:.120} ({error})."
        ) from error
    if not callable(found):
        raise ImproperlyConfigured(f"{place} is not callable: {path!r:.120}.")
    return found


_import = cache(import_string)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "BFF_SESSIONS":
        for name in DEFAULTS:
            globals().pop(name, None)


setting_changed.connect(_forget, dispatch_uid="bff_sessions.conf")
