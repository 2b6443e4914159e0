"""What is wrong with the settings of the endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from inspect import unwrap
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.urls import (
    Resolver404,
    URLPattern,
    URLResolver,
    get_resolver,
    get_script_prefix,
    resolve,
)

from bff_sessions import conf

__all__ = ["check_endpoints"]

View = Callable[..., Any]

NAMES: Final = tuple(conf.DEFAULTS["ENDPOINTS"])


def check_endpoints() -> Iterator[CheckMessage]:
    names = conf.ENDPOINTS
    if not isinstance(names, (list, tuple, set, frozenset)) or any(n not in NAMES for n in names):
        yield Error(
            f"BFF_SESSIONS['ENDPOINTS'] must be a list of endpoints; it is {names!r:.120}.",
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
            "BFF_SESSIONS['LOGIN_NEXT_PARAMETER'] must be the name of a parameter; it is "
            f"{name!r:.120}.",
            hint="Give the one that the login library takes, 'next' for example.",
            id="bff_sessions.E053",
        )
    try:
        from bff_sessions.oidc.views import backchannel_logout
        from bff_sessions.views.login import login

        views = list(_views_of(get_resolver().url_patterns))
    except Exception:
        return  # E001 reports an app that is not installed, Django URLs that cannot be imported.
    if unwrap(login) in views:
        yield from _check_login_url(unwrap(login))
    if conf.PROVIDERS and unwrap(backchannel_logout) not in views:
        yield Warning(
            "BFF_SESSIONS['PROVIDERS'] can end no session: bff_sessions.urls is not included.",
            hint='Add path("bff/", include("bff_sessions.urls")) to the URLs.',
            id="bff_sessions.W053",
        )


def _check_login_url(login: View) -> Iterator[CheckMessage]:
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
    if _view_at(address) is login:
        yield Error(
            f"{name} leads to 'GET login', which leads there: {url!r:.120}.",
            hint="Let BFF_SESSIONS['LOGIN_URL'] name where the login library begins.",
            id="bff_sessions.E055",
        )


def _view_at(address: str) -> View | None:
    """Return the view of this site at `address`, undecorated; None if there is none."""
    parts = urlsplit(address)
    if parts.netloc:
        return None
    try:
        match = resolve("/" + parts.path.removeprefix(get_script_prefix()))
    except Resolver404:
        return None
    view: View = unwrap(match.func)
    return view


def _views_of(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[View]:
    """Yield the views of `patterns` and of all that they include, in whatever namespace."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views_of(pattern.url_patterns)
        else:
            yield unwrap(pattern.callback)
