"""Create, update and renew sessions, in steps."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from bff_sessions.contract import UserSession, UserSessionUpdate
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis import hints, layout, scripts
from bff_sessions.stores.redis.link import Command, Link, script_of


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
        yield from link.confirm([link.names.session(session.key)])


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

    def write(is_covered: bytes) -> Command:
        return script_of(scripts.UPDATE, name, *conditions, is_covered, *values)

    def find_hints() -> Steps[list[Command]]:
        partition = yield from link.ask("HGET", name, "partition")
        if partition is None:
            return []
        return hints.to_write(link, key, partition.decode(), update)

    result: int = yield from _write(link, write, find_hints)
    if result == scripts.CHANGED:
        raise SessionChanged
    if result == scripts.MISSING:
        raise SessionMissing
    return result


def touch(link: Link, key: str, renewed: datetime, expires: datetime | None) -> Steps[bool]:
    """Renew the session. Return whether it was live."""
    name = link.names.session(key)
    times = layout.write_times(renewed, expires, link.grace)

    def write(is_covered: bytes) -> Command:
        return script_of(scripts.TOUCH, name, link.grace_millis, is_covered, times)

    def find_hints() -> Steps[list[Command]]:
        [session] = yield from hints.read(link, [key], with_tickets=False)
        if session is None:
            return []
        return hints.to_write(link, key, session.partition, replace(session, expires=expires))

    result: int = yield from _write(link, write, find_hints)
    return result != scripts.MISSING


def _write(
    link: Link,
    write: Callable[[bytes], Command],
    find_hints: Callable[[], Steps[list[Command]]],
) -> Steps[Any]:
    """Send a command that writes, after its hints if the present ones are others."""
    result = yield from link.ask(*write(b""))
    if result == scripts.UNCOVERED:
        first = yield from find_hints()
        result = yield from link.send_in_order(first, write(b"1"))
    return result
