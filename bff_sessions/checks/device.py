"""System checks of BFF_SESSIONS["DEVICE"]."""

from __future__ import annotations

from collections.abc import Iterator

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


def check_device() -> Iterator[CheckMessage]:
    if not isinstance(conf.DEVICE, dict):
        return  # Devices are not stored, or check_settings() reports the setting.
    yield from DeviceOptions.find_faults(_PLACE, conf.DEVICE)
    if not find_middleware(SessionMiddleware):
        yield _NO_EFFECT()
