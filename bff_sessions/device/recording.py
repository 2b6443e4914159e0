"""Record which device uses a session, and when."""

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

logger = logging.getLogger("bff_sessions.device")

# The prefix of a network of a household or a company, which does not identify one machine.
_PREFIXES: Final = {4: 24, 6: 48}


def record_device(request: HttpRequest) -> None:
    """Record the device that uses the session of `request`, at most once in SEEN_EVERY seconds.

    This applies to signed-in sessions that the request has already loaded. A request with
    ``slide=False``, from a page that polls, does not count as use of the session.

    An error is logged and not raised, because the response is ready and must not be lost.
    """
    try:
        _record_device(request)
    except Exception as error:
        # Only the class, because the text may contain store keys.
        logger.warning("The device of a session cannot be recorded: %s", type(error).__name__)


def _record_device(request: HttpRequest) -> None:
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
    """Return what `options` allow to store of the device that sent `request`."""
    user_agent = request.headers.get("User-Agent", "") if options.user_agent else ""
    return Device(user_agent=_to_text(user_agent), address=_address_of(request, options))


def _address_of(request: HttpRequest, options: DeviceOptions) -> str | None:
    if options.address is None:
        return None
    try:
        value = load_address_of(options)(request)
        return _to_address(value, is_whole=options.address == "full")
    except Exception as error:
        # None, because the address of an earlier request may be another one.
        logger.warning("The address of a request cannot be read: %s", type(error).__name__)
        return None


def _to_text(user_agent: str) -> str | None:
    """Return the part that every database can store: the first characters, as printable ASCII."""
    # RFC 9110, 10.1.5: a user agent consists of ASCII, apart from comments.
    text = user_agent[:MAX_TEXT].strip()
    return "".join(c if " " <= c <= "~" else "?" for c in text) or None


def _to_address(value: object, *, is_whole: bool) -> str | None:
    """Return the address or its network; None for a socket name or an address with a port."""
    try:
        address = ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None:
        return None
    if isinstance(address, IPv6Address):
        # int() drops the zone, which may be any text. A mapped IPv4 address is stored as IPv4.
        mapped: IPv4Address | None = address.ipv4_mapped
        address = mapped or IPv6Address(int(address))
    if is_whole:
        return str(address)
    return str(ip_network((address, _PREFIXES[address.version]), strict=False))
