"""User agent, address and moment, on their way from a request to the store."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from django.http import HttpRequest

from bff_sessions.contract import MAX_TEXT, Device, UserSessionStoreDevices
from bff_sessions.device.options import DeviceOptions, get_device_options, load_address_of
from bff_sessions.engine import SessionStore
from bff_sessions.stores import get_store

__all__ = ["device_of", "note_device"]

logger = logging.getLogger("bff_sessions.device")

# So much of an address is the network of a household or a company, and not one machine.
_PREFIXES: Final = {4: 24, 6: 48}


def note_device(request: HttpRequest) -> None:
    """Remember that the session of the request was used, and with what, once in a while.

    Only where somebody is signed in, and only what the request has loaded already. A request
    whose session does not slide, a page that polls, is nobody's use of it. Raises nothing: the
    answer is ready, and does not fail for want of this.
    """
    try:
        _note_device(request)
    except Exception as error:
        # The name only: the text may hold keys.
        logger.warning("When a session was seen could not be kept: %s", type(error).__name__)


def _note_device(request: HttpRequest) -> None:
    options = get_device_options()
    session = request.session
    if options is None or not isinstance(session, SessionStore):
        return
    devices = get_store().get_ability(UserSessionStoreDevices)
    if devices is None:
        return  # A system check reports it.
    if not (session.accessed and session.slide):
        return
    current = session.get_user_session()
    if current is None or current.subject_id is None:
        return
    now, seen = datetime.now(UTC), current.last_seen
    if seen is not None and now - seen < timedelta(seconds=options.seen_every):
        return
    device = device_of(request, options)
    is_known = device == Device(user_agent=current.user_agent, address=current.address)
    devices.note_device(current.key, seen=now, if_seen=seen, device=None if is_known else device)


def device_of(request: HttpRequest, options: DeviceOptions) -> Device:
    """What there is to keep of whoever sent the request."""
    user_agent = request.headers.get("User-Agent", "") if options.user_agent else ""
    return Device(user_agent=_to_text(user_agent), address=_address_of(request, options))


def _address_of(request: HttpRequest, options: DeviceOptions) -> str | None:
    if options.address is None:
        return None
    try:
        value = load_address_of(options)(request)
        return _to_address(value, is_whole=options.address == "full")
    except Exception as error:
        # Nor is the address of the last request that of this one.
        logger.warning("The address of a request is unknown: %s", type(error).__name__)
        return None


def _to_text(user_agent: str) -> str | None:
    """As much of it as every database can keep: ASCII is all that it should consist of anyway
    (RFC 9110, 10.1.5)."""
    text = user_agent[:MAX_TEXT].strip()
    return "".join(c if " " <= c <= "~" else "?" for c in text) or None


def _to_address(value: object, *, is_whole: bool) -> str | None:
    """None for what is no address: the name of a socket, or one with a port."""
    try:
        address = ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None:
        return None
    if isinstance(address, IPv6Address):
        # Without the zone, which may be any text; and IPv4 in the clothes of IPv6 is IPv4.
        mapped: IPv4Address | None = address.ipv4_mapped
        address = mapped or IPv6Address(int(address))
    if is_whole:
        return str(address)
    return str(ip_network((address, _PREFIXES[address.version]), strict=False))
