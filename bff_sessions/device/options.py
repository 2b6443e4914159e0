"""settings.BFF_SESSIONS["DEVICE"]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest

from bff_sessions import conf

__all__ = ["ADDRESSES", "DeviceOptions", "get_device_options", "load_address_of", "remote_address"]

ADDRESSES: Final = (None, "truncated", "full")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceOptions:
    """The options, in small letters."""

    user_agent: bool = True
    """Whether the user agent is kept."""
    address: str | None = None
    """How much of the address is kept: None, "truncated" (IPv4 /24, IPv6 /48) or "full"."""
    address_of: str = "bff_sessions.device.options.remote_address"
    """Dotted path of a callable from the request to its address."""
    seen_every: float = 60
    """Seconds between two writes of when a session was last seen, at least."""


def get_device_options() -> DeviceOptions | None:
    """The options as they are set, and have been checked; None: nothing is kept."""
    if conf.DEVICE is None:
        return None
    return DeviceOptions(**{name.lower(): value for name, value in conf.DEVICE.items()})


def load_address_of(options: DeviceOptions) -> Any:
    """The callable that says the address.

    Raises:
        ImproperlyConfigured: if it cannot be imported or called.
    """
    return conf.import_callable(options.address_of, "BFF_SESSIONS['DEVICE']['ADDRESS_OF']")


def remote_address(request: HttpRequest) -> object:
    """Who is connected: behind a proxy that is the proxy.

    X-Forwarded-For says what the client likes, unless your own proxies see to it; how many there
    are is for you to know.
    """
    return request.META.get("REMOTE_ADDR")
