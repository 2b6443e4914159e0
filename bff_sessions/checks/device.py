"""System checks of BFF_SESSIONS["DEVICE"]."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.checks.middleware import find_middleware
from bff_sessions.conf.faults import Fault
from bff_sessions.device.options import DeviceOptions
from bff_sessions.middleware import SessionMiddleware

_PLACE = conf.place_of("DEVICE")
_NO_EFFECT = Fault(
    "W070",
    f"{_PLACE} has no effect: bff_sessions.middleware.SessionMiddleware is not in MIDDLEWARE.",
    "Replace Django's session middleware in MIDDLEWARE with "
    "'bff_sessions.middleware.SessionMiddleware'.",
)
_NO_EXTRA = Fault(
    "W072",
    f"{_PLACE} stores user agents, but ua-parser is not installed: pages cannot name the browser.",
    "Run pip install 'django-bff-sessions[device]', or set USER_AGENT to False.",
)


def check_device() -> Iterator[CheckMessage]:
    if not isinstance(conf.DEVICE, dict):
        return  # Devices are not stored, or check_settings() reports the setting.
    yield from DeviceOptions.find_faults(_PLACE, conf.DEVICE)
    if not find_middleware(SessionMiddleware):
        yield _NO_EFFECT()
    if conf.DEVICE.get("USER_AGENT", True) is True and find_spec("ua_parser") is None:
        yield _NO_EXTRA()
