"""System checks of SESSION_ENGINE, and of the session middleware in MIDDLEWARE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Final

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangosMiddleware
from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

from bff_sessions.conf.faults import Fault
from bff_sessions.engine import SessionStore
from bff_sessions.engine.moves import can_follow
from bff_sessions.middleware import SessionMiddleware

_ENGINE: Final = "bff_sessions.engine"

_OTHER_ENGINE = Fault(
    "W001",
    "bff_sessions has no effect: SESSION_ENGINE is {engine!r}.",
    f"Set SESSION_ENGINE = {_ENGINE!r}.",
)
_CANNOT_FOLLOW = Fault(
    "W008",
    "Requests in flight are refused when another request moves their session to a new key.",
    "Replace Django's session middleware in MIDDLEWARE with "
    "'bff_sessions.middleware.SessionMiddleware'.",
)
_MISSING = Fault(
    "W014",
    "MIDDLEWARE has no session middleware: requests have no session.",
    "Add 'bff_sessions.middleware.SessionMiddleware', above "
    "'django.contrib.auth.middleware.AuthenticationMiddleware'.",
)
_SEVERAL = Fault(
    "W009",
    "MIDDLEWARE has more than one session middleware: each of them loads and saves the session.",
    "Keep {ours!r} only.",
)
_BELOW = Fault(
    "W010",
    "{ours!r} is below {authentication!r} in MIDDLEWARE, so authentication has no session.",
    "Move {ours!r} up, above {authentication!r}.",
)


def check_engine() -> Iterator[CheckMessage]:
    if not is_ours(settings.SESSION_ENGINE):
        yield _OTHER_ENGINE(engine=settings.SESSION_ENGINE)


def check_middleware() -> Iterator[CheckMessage]:
    if not is_ours(settings.SESSION_ENGINE):
        return
    if not can_follow():
        yield _CANNOT_FOLLOW() if find_middleware(DjangosMiddleware) else _MISSING()
    ours = find_middleware(SessionMiddleware)
    if ours and len(find_middleware(DjangosMiddleware)) > 1:
        yield _SEVERAL(ours=ours[0][1])
    if not apps.is_installed("django.contrib.auth"):
        return
    # Imported here, because the import fails without django.contrib.auth in INSTALLED_APPS.
    from django.contrib.auth.middleware import AuthenticationMiddleware

    authentication = find_middleware(AuthenticationMiddleware)
    if ours and authentication and authentication[0] < ours[0]:
        yield _BELOW(ours=ours[0][1], authentication=authentication[0][1])


def find_middleware(kind: type) -> list[tuple[int, str]]:
    """Return the positions in MIDDLEWARE and the paths of `kind` and its subclasses."""
    found = []
    for position, path in enumerate(settings.MIDDLEWARE):
        with suppress(Exception):  # Django reports it when the server starts.
            middleware = import_string(path)
            if isinstance(middleware, type) and issubclass(middleware, kind):
                found.append((position, path))
    return found


def is_ours(path: str) -> bool:
    """Return whether `path` is this session engine, or one that derives from it."""
    if path == _ENGINE:
        return True
    try:
        store = import_module(path).SessionStore
    except Exception:
        return False  # The part of Django that imports it reports why.
    return isinstance(store, type) and issubclass(store, SessionStore)
