"""System checks of cookies: other sites and scripts must not read or set the session cookie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.conf.faults import Fault

_REFUSED = Fault(
    "E056",
    "Browsers refuse the cookie {name!r}: its settings do not match the prefix of its name.",
    "Set {settings}.",
)
_UNPROTECTED = Fault("W003", "The session cookie may {dangers}.", "Set {names} to True.")
_TOSSED = "Another host of the same domain can set the cookie {name!r} of this site."
_SESSION_TOSSED = Fault(
    "W050",
    _TOSSED,
    "Set SESSION_COOKIE_NAME = '__Host-{name}', which browsers accept from this host only.",
)
_CSRF_TOSSED = Fault(
    "W051",
    _TOSSED,
    "Set CSRF_COOKIE_NAME = '__Host-{name}', which browsers accept from this host only.",
)
_CROSS_SITE = Fault(
    "W052",
    "Browsers also send the session cookie with requests that other sites make.",
    "Set SESSION_COOKIE_SAMESITE = 'Lax'.",
)
_LEFT_OUT = Fault(
    "W055",
    "SESSION_COOKIE_SAMESITE is {value!r}: browsers do not send the session cookie when a provider "
    "redirects them back, so most login libraries do not find their state.",
    "Set SESSION_COOKIE_SAMESITE = 'Lax'.",
)


def check_return() -> Iterator[CheckMessage]:
    """Check that the session cookie comes back from a provider."""
    value = settings.SESSION_COOKIE_SAMESITE
    if conf.PROVIDERS and str(value).lower() == "strict":
        yield _LEFT_OUT(value=value)


def check_prefixes() -> Iterator[CheckMessage]:
    for cookie in _cookies():
        name = getattr(settings, f"{cookie}_NAME")
        wrong = [
            f"{cookie}_{key} = {value!r}"
            for key, value in _needs_of(name).items()
            if (getattr(settings, f"{cookie}_{key}") or None) != value
        ]
        if wrong:
            yield _REFUSED(name=name, settings=" and ".join(wrong))


def _needs_of(name: str) -> dict[str, Any]:
    """Return the attributes that browsers require of a cookie with this name, in any case."""
    # RFC 6265bis, 4.1.3.
    if name.lower().startswith("__host-"):
        return {"SECURE": True, "DOMAIN": None, "PATH": "/"}
    return {"SECURE": True} if name.lower().startswith("__secure-") else {}


def check_cookies() -> Iterator[CheckMessage]:
    dangers = {
        "SESSION_COOKIE_SECURE": "travel in clear text",
        "SESSION_COOKIE_HTTPONLY": "be read by scripts",
    }
    names = [name for name in dangers if not getattr(settings, name)]
    if names:
        yield _UNPROTECTED(
            dangers=" and ".join(dangers[name] for name in names), names=" and ".join(names)
        )
    for cookie in _cookies():
        name = getattr(settings, f"{cookie}_NAME")
        if not name.startswith("__Host-"):
            yield (_SESSION_TOSSED if cookie == "SESSION_COOKIE" else _CSRF_TOSSED)(name=name)
    if str(settings.SESSION_COOKIE_SAMESITE).lower() not in ("lax", "strict"):
        yield _CROSS_SITE()


def _cookies() -> Iterator[str]:
    yield "SESSION_COOKIE"
    # Only if there is a CSRF cookie, as in Django's security.W016.
    if (
        "django.middleware.csrf.CsrfViewMiddleware" in settings.MIDDLEWARE
        and not settings.CSRF_USE_SESSIONS
    ):
        yield "CSRF_COOKIE"
