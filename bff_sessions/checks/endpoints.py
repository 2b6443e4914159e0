"""System checks of the URLs of the endpoints, and of those to which they redirect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from inspect import unwrap
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage
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
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.rules import is_list
from bff_sessions.contract import UserSessionStore
from bff_sessions.oidc.logout.views import backchannel_logout
from bff_sessions.stores import get_store
from bff_sessions.views.events import events
from bff_sessions.views.login import login

View = Callable[..., Any]

_CIRCLE = Fault(
    "E055",
    "{place} must not be the URL of 'GET login', which redirects to it; it is {url!r:.120}.",
    "Set BFF_SESSIONS['LOGIN_URL'] to the URL at which the login library begins.",
)
_NOT_INCLUDED = Fault(
    "W053",
    "BFF_SESSIONS['PROVIDERS'] cannot end sessions: bff_sessions.urls is not included.",
    'Add path("bff/", include("bff_sessions.urls")) to the URLs.',
)
_NO_ENDPOINTS = Fault(
    "W054",
    "{place} has no effect: bff_sessions.urls is not included.",
    'Add path("bff/", include("bff_sessions.urls")) to the URLs, or leave the setting out.',
)
_ONE_BY_ONE = Fault(
    "W057",
    "'GET events' reads the session of each open page by itself, once in EVENTS_EVERY seconds: "
    "{store} does not override peek_user_sessions().",
    "Override it, or leave 'events' out of BFF_SESSIONS['ENDPOINTS'].",
)
# LOGIN_URL is not among them, because the middleware redirects to it, too.
_OF_ENDPOINTS: Final = ("ENDPOINTS", "ANONYMOUS_STATUS", "USER_CLAIMS")


def check_endpoints() -> Iterator[CheckMessage]:
    try:
        views = list(_views_of(get_resolver().url_patterns))
    except Exception:
        return  # Django reports URLs that cannot be imported.
    if unwrap(login) in views:
        yield from _check_login_url()
    if not any(view.__module__.startswith("bff_sessions.") for view in views):
        for name in _OF_ENDPOINTS:
            if name in getattr(settings, "BFF_SESSIONS", {}):
                yield _NO_ENDPOINTS(place=conf.place_of(name))
    if conf.PROVIDERS and unwrap(backchannel_logout) not in views:
        yield _NOT_INCLUDED()
    if unwrap(events) in views and is_list(conf.ENDPOINTS) and "events" in conf.ENDPOINTS:
        yield from _check_events()


def _check_login_url() -> Iterator[CheckMessage]:
    is_djangos = conf.LOGIN_URL is None
    place = "LOGIN_URL" if is_djangos else conf.place_of("LOGIN_URL")
    url: Any = settings.LOGIN_URL if is_djangos else conf.LOGIN_URL
    try:
        address = resolve_url(url)
    except Exception:
        yield conf.SETTINGS["LOGIN_URL"].refuse(place, url)
        return
    if _view_at(address) is unwrap(login):
        yield _CIRCLE(place=place, url=url)


def _check_events() -> Iterator[CheckMessage]:
    try:
        store = get_store()
    except Exception:
        return  # Another check reports it.
    stored_in: UserSessionStore = getattr(store, "inner", store)
    store_class = type(stored_in)
    if store_class.peek_user_sessions is UserSessionStore.peek_user_sessions:
        yield _ONE_BY_ONE(store=store_class.__name__)


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
    """Yield the views of `patterns` and of all nested includes."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views_of(pattern.url_patterns)
        else:
            yield unwrap(pattern.callback)
