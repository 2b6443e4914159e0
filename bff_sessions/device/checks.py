"""What is wrong with settings.BFF_SESSIONS["DEVICE"]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from bff_sessions.contract import is_moment
from bff_sessions.device.options import ADDRESSES, DeviceOptions, load_address_of

__all__ = ["check_device"]

_NAME = "BFF_SESSIONS['DEVICE']"
_MAX_SECONDS = 24 * 60 * 60


def check_device(given: Any) -> Iterator[CheckMessage]:
    """What is wrong with BFF_SESSIONS["DEVICE"]."""
    if given is None:
        return
    if not isinstance(given, dict):
        yield Error(
            f"{_NAME} is neither None nor a dictionary: {given!r:.120}.",
            hint="For example {'USER_AGENT': True, 'ADDRESS': 'truncated'}.",
            id="bff_sessions.E070",
        )
        return
    names = [field.name.upper() for field in fields(DeviceOptions)]
    for name in given:
        if name not in names:
            yield Error(
                f"{_NAME} has no option {name!r:.120}.",
                hint=f"It has {', '.join(names)}.",
                id="bff_sessions.E071",
            )
    known = {name.lower(): value for name, value in given.items() if name in names}
    yield from _check_options(DeviceOptions(**known))
    if not any(map(_is_ours, settings.MIDDLEWARE)):
        yield Warning(
            f"{_NAME} has no effect: bff_sessions.middleware.SessionMiddleware is not in "
            "MIDDLEWARE.",
            hint=(
                "Replace Django's session middleware in MIDDLEWARE with "
                "'bff_sessions.middleware.SessionMiddleware'."
            ),
            id="bff_sessions.W070",
        )


def _check_options(options: DeviceOptions) -> Iterator[CheckMessage]:
    user_agent: Any = options.user_agent
    if not isinstance(user_agent, bool):
        yield Error(
            f"{_NAME}['USER_AGENT'] is neither True nor False: {user_agent!r:.120}.",
            hint="Give one of them, or leave it out.",
            id="bff_sessions.E072",
        )
    if options.address not in ADDRESSES:
        yield Error(
            f"{_NAME}['ADDRESS'] is {options.address!r:.120}.",
            hint="Give 'truncated', 'full' or None.",
            id="bff_sessions.E073",
        )
    try:
        load_address_of(options)
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Give the dotted path of a callable from a request to its address.",
            id="bff_sessions.E074",
        )
    seconds = options.seen_every
    if not (is_moment(seconds) and seconds <= _MAX_SECONDS):
        yield Error(
            f"{_NAME}['SEEN_EVERY'] must be a number of seconds; it is {seconds!r:.120}.",
            hint=f"Give a number from 0 to {_MAX_SECONDS}, for example 60.",
            id="bff_sessions.E075",
        )


def _is_ours(path: str) -> bool:
    from bff_sessions.middleware import SessionMiddleware

    try:
        middleware = import_string(path)
    except Exception:
        return False  # It is for Django to say so, when it starts.
    return isinstance(middleware, type) and issubclass(middleware, SessionMiddleware)
