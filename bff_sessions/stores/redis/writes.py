"""Create, update, renew and lease sessions, and record devices, in steps."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

from bff_sessions.contract import Device, UserSession, UserSessionUpdate
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis import hints, layout, names, scripts
from bff_sessions.stores.redis.commands import Command, script_of
from bff_sessions.stores.redis.link import Link


def create(
    link: Link, session: UserSession, *, device: bytes | None, lease: bytes | None = None
) -> Steps[None]:
    """Create `session` after its hints, with these values of `device` and `lease`."""
    result = yield from link.send_in_order(
        hints.to_write(link, session.key, session.partition, session),
        to_create(link, session, device=device, lease=lease),
    )
    if result == scripts.EXISTS:
        raise SessionExists
    if result == scripts.MISSING:
        raise SessionMissing
    if session.subject_id is not None:
        name = link.names.session(session.key)
        yield from link.confirm([script_of(scripts.KEEP, name, "version")])


def to_create(
    link: Link, session: UserSession, *, device: bytes | None = None, lease: bytes | None = None
) -> Command:
    """Return the command that creates `session`, to be sent after its hints."""
    fields = {
        "partition": session.partition,
        "head": layout.head_of(session),
        "ticket": session.ticket,
        "device": device,
        "lease": lease,
    }
    written = [(name, value) for name, value in fields.items() if value is not None]
    name, times = link.names.session(session.key), layout.times_of(session, link.grace)
    conditions = (secrets.token_hex(8), session.version, link.grace_millis)
    values = (part for pair in written for part in pair)
    return script_of(scripts.CREATE, name, *conditions, times, *values)


def update(link: Link, key: str, update: UserSessionUpdate, if_version: int | None) -> Steps[int]:
    """Write the fields of `update`, and return the new version."""
    name = link.names.session(key)
    conditions = (
        secrets.token_hex(8),
        b"" if if_version is None else if_version,
        link.grace_millis,
    )
    values = (layout.head_of(update), layout.times_of(update, link.grace), update.ticket)

    def write(covered: bytes) -> Command:
        return script_of(scripts.UPDATE, name, *conditions, covered, *values)

    def hints_of(partition: bytes, head: bytes) -> list[Command]:
        return hints.to_write(link, key, names.from_bytes(partition), update)

    result = yield from _write(link, write, hints_of)
    if result == scripts.CHANGED:
        raise SessionChanged
    if result == scripts.MISSING:
        raise SessionMissing
    return result


def touch(
    link: Link, key: str, renewed: datetime, expires: datetime | None, if_version: int | None
) -> Steps[bool]:
    """Renew the session. Return whether it was live."""
    name = link.names.session(key)
    times = layout.write_times(renewed, expires, link.grace)
    condition = b"" if if_version is None else if_version

    def write(covered: bytes) -> Command:
        return script_of(scripts.TOUCH, name, condition, link.grace_millis, covered, times)

    def hints_of(partition: bytes, head: bytes) -> list[Command]:
        session = layout.read_deleted(key, partition, head, times, b"")
        if session is None:
            raise SessionMissing
        return hints.to_write(link, key, session.partition, session)

    try:
        result = yield from _write(link, write, hints_of)
    except SessionMissing:
        return False
    if result == scripts.CHANGED:
        raise SessionChanged
    return result != scripts.MISSING


def note(
    link: Link, key: str, seen: datetime, if_seen: datetime | None, device: Device | None
) -> Steps[bool]:
    """Record when the session was last used, and by which browser. Return whether it was."""
    name, about = link.names.session(key), layout.write_device(device)
    values = map(layout.write_seen, (if_seen, seen))
    return bool((yield from link.run_script(scripts.NOTE, name, *values, about)))


def acquire(link: Link, key: str, owner: str, seconds: float) -> Steps[bool]:
    """Lease the session. Return whether `owner` has the lease."""
    name, length = link.names.session(key), int(seconds * 1_000_000)
    acquired = yield from link.run_script(scripts.ACQUIRE, name, owner, length)
    if acquired == scripts.MISSING:
        raise SessionMissing
    return bool(acquired)


def release(link: Link, key: str, owner: str) -> Steps[bool]:
    """Release the lease. Return whether `owner` still had it."""
    return bool((yield from link.run_script(scripts.RELEASE, link.names.session(key), owner)))


def _write(
    link: Link,
    write: Callable[[bytes], Command],
    hints_of: Callable[[bytes, bytes], list[Command]],
) -> Steps[int]:
    """Send a command that writes, after its hints if the present ones are others."""
    result, *known = yield from link.ask(*write(b""))
    while result == scripts.UNCOVERED:
        if None in known:
            return scripts.MISSING
        _, head = known
        result, *known = yield from link.send_in_order(hints_of(*known), write(head))
    status: int = result
    return status
