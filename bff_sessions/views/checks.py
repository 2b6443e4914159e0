"""What is wrong with the settings of the endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.urls import reverse

from bff_sessions import conf

__all__ = ["check_endpoints"]

NAMES: Final = tuple(conf.DEFAULTS["ENDPOINTS"])


def check_endpoints() -> Iterator[CheckMessage]:
    names = conf.ENDPOINTS
    if not isinstance(names, (list, tuple, set, frozenset)) or any(n not in NAMES for n in names):
        yield Error(
            f"BFF_SESSIONS['ENDPOINTS'] is no list of endpoints: {names!r:.120}.",
            hint=f"Give some of {', '.join(NAMES)}, or an empty list.",
            id="bff_sessions.E050",
        )
    if conf.ANONYMOUS_STATUS not in (401, 200):
        yield Error(
            f"BFF_SESSIONS['ANONYMOUS_STATUS'] is {conf.ANONYMOUS_STATUS!r:.120}.",
            hint="Give 401, or 200 for a null.",
            id="bff_sessions.E051",
        )
    try:
        conf.load_callable("USER_CLAIMS")
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Give the dotted path of a callable from a request to a dictionary.",
            id="bff_sessions.E052",
        )
    name = conf.LOGIN_NEXT_PARAMETER
    if not (isinstance(name, str) and name.strip()):
        yield Error(
            f"BFF_SESSIONS['LOGIN_NEXT_PARAMETER'] is no name of a parameter: {name!r:.120}.",
            hint="Give the one that the login library takes, 'next' for example.",
            id="bff_sessions.E053",
        )
    if (own := _address_of("login")) is not None:
        yield from _check_login_url(own)
    elif conf.PROVIDERS:
        yield Warning(
            "BFF_SESSIONS['PROVIDERS'] can end no session: bff_sessions.urls is not included.",
            hint='Add path("bff/", include("bff_sessions.urls")) to the URLs.',
            id="bff_sessions.W053",
        )


def _check_login_url(own: str) -> Iterator[CheckMessage]:
    name = "LOGIN_URL" if conf.LOGIN_URL is None else "BFF_SESSIONS['LOGIN_URL']"
    url = settings.LOGIN_URL if conf.LOGIN_URL is None else conf.LOGIN_URL
    try:
        address = resolve_url(url)
    except Exception:
        yield Error(
            f"{name} leads nowhere: {url!r:.120}.",
            hint="Give the URL, or the name of the URL, at which the login library begins.",
            id="bff_sessions.E054",
        )
        return
    if address.partition("?")[0] == own:
        yield Error(
            f"{name} leads to 'GET login', which leads there: {url!r:.120}.",
            hint="Let BFF_SESSIONS['LOGIN_URL'] name where the login library begins.",
            id="bff_sessions.E055",
        )


def _address_of(name: str) -> str | None:
    """The path of the endpoint; None if the URLs are not included."""
    try:
        return reverse(f"bff_sessions:{name}")
    except Exception:
        return None  # URLs that cannot be imported are for Django's own checks to tell.
