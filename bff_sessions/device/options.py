"""settings.BFF_SESSIONS["DEVICE"]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, option, seconds, switch
from bff_sessions.conf.rules import CALLABLE, import_callable, one_of


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceOptions(Options):
    """What is stored of the device that uses a session."""

    unknown: ClassVar[Fault] = Fault(
        "E071", "BFF_SESSIONS['DEVICE'] has no option {name!r:.120}.", "Use one of {names}."
    )

    user_agent: bool = switch(
        True,
        check="E072",
        doc=(
            "Store the user agent, 255 characters at most; "
            "`pip install 'django-bff-sessions[device]'` puts it into words"
        ),
    )
    address: str | None = option(
        None,
        one_of("truncated", "full", None),
        check="E073",
        hint="Give 'truncated', 'full' or None.",
        doc="Store the address, or the network that it is in (/24 of IPv4, /48 of IPv6)",
    )
    address_of: str = option(
        "bff_sessions.device.options.remote_address",
        CALLABLE,
        check="E074",
        hint="Give the dotted path of a callable from a request to its address.",
        doc=(
            "A callable from the request to its address. The default returns `REMOTE_ADDR`. Behind "
            "a proxy, name your own, which knows whether to trust `X-Forwarded-For`. If it raises, "
            "the request continues and no address is stored"
        ),
    )
    seen_every: float = seconds(
        60,
        check="E075",
        doc=(
            "Seconds for which a recorded time of last use is not updated again. Each update is "
            "one UPDATE of one column"
        ),
    )


def get_device_options() -> DeviceOptions | None:
    """Return the options, which have been checked; None if nothing is stored."""
    return None if conf.DEVICE is None else DeviceOptions.of(conf.DEVICE)


def load_address_of(options: DeviceOptions) -> Any:
    """Return the callable that returns the address of a request.

    Raises:
        SettingInvalid: if it cannot be imported or called.
    """
    return import_callable(options.address_of, f"{conf.place_of('DEVICE')}['ADDRESS_OF']")


def remote_address(request: HttpRequest) -> object:
    """Return the address of the connection, which behind a proxy is the proxy's.

    A client can send any X-Forwarded-For. Only you know how many of your proxies add to it.
    """
    return request.META.get("REMOTE_ADDR")
