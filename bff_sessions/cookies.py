"""Advice on cookies: who has the session's is the user, and who can set it says who that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

__all__ = ["check_cookie_prefixes", "check_cookies"]


@register(Tags.security)
def check_cookie_prefixes(**kwargs: Any) -> Iterator[CheckMessage]:
    for cookie in _cookies():
        name = getattr(settings, f"{cookie}_NAME")
        wrong = {
            f"{cookie}_{key}": value
            for key, value in _needs_of(name).items()
            if (getattr(settings, f"{cookie}_{key}") or None) != value
        }
        if wrong:
            yield Error(
                f"Browsers refuse the cookie {name!r}: its name promises more than it keeps.",
                hint=f"Set {' and '.join(f'{key} = {value!r}' for key, value in wrong.items())}.",
                id="bff_sessions.E056",
            )


def _needs_of(name: str) -> dict[str, Any]:
    """What browsers ask of a cookie of this name: RFC 6265bis, 4.1.3; the prefix in any case."""
    if name.lower().startswith("__host-"):
        return {"SECURE": True, "DOMAIN": None, "PATH": "/"}
    return {"SECURE": True} if name.lower().startswith("__secure-") else {}


@register(Tags.security, deploy=True)
def check_cookies(**kwargs: Any) -> Iterator[CheckMessage]:
    for cookie in _cookies():
        name, is_session = getattr(settings, f"{cookie}_NAME"), cookie == "SESSION_COOKIE"
        if not name.startswith("__Host-"):
            yield Warning(
                f"Another host of the same domain can set the cookie {name!r} of this site.",
                hint=f"Set {cookie}_NAME = '__Host-{name}', which browsers take from nobody else.",
                id="bff_sessions.W050" if is_session else "bff_sessions.W051",
            )
    if str(settings.SESSION_COOKIE_SAMESITE).lower() not in ("lax", "strict"):
        yield Warning(
            "The session cookie is sent along with requests that other sites make.",
            hint="Set SESSION_COOKIE_SAMESITE = 'Lax'.",
            id="bff_sessions.W052",
        )


def _cookies() -> Iterator[str]:
    yield "SESSION_COOKIE"
    # As Django's security.W016: where there is one.
    if (
        "django.middleware.csrf.CsrfViewMiddleware" in settings.MIDDLEWARE
        and not settings.CSRF_USE_SESSIONS
    ):
        yield "CSRF_COOKIE"
