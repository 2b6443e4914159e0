"""What is in the cache: under which names, and how a session is written there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, NamedTuple

from bff_sessions.contract import UserSession
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.protection import protect, unprotect

__all__ = ["Entry", "entry_name", "mark_name", "names_of", "open_entry", "seal_entry"]

# The format of an entry is part of its name.
_PREFIX: Final = "bff_sessions:1:"
# Where a ticket has the name of its partition. No partition has a name with NUL in it.
_PURPOSE: Final = "cache\0"

_HEAD = tuple(f.name for f in fields(UserSession) if f.name not in ("key", "ticket"))
_MOMENTS = ("created", "renewed", "expires", "last_seen")


def entry_name(key: str) -> str:
    # The cache does not get to know the store's key. One from outside may be any text.
    encoded = key.encode(errors="surrogatepass")
    return _PREFIX + hashlib.sha256(_PREFIX.encode() + encoded).hexdigest()


def names_of(key: str) -> tuple[str, str]:
    """Where entry and mark of the session are."""
    name = entry_name(key)
    return name, f"{name}:mark"


def mark_name(key: str) -> str:
    return names_of(key)[1]


class Entry(NamedTuple):
    """A session as the store had it."""

    session: UserSession
    mark: int | None
    """The mark that was there before the store was asked."""
    moment: float
    """When that was, in seconds since the epoch."""


def seal_entry(entry: Entry) -> bytes:
    """Encrypt `entry`, bound to its session: nothing of it can be read."""
    session = entry.session
    values = [getattr(session, name) for name in _HEAD]
    head = json.dumps([entry.mark, entry.moment, *values], default=datetime.isoformat).encode()
    return protect(head + b"\0" + session.ticket, key=session.key, partition=_PURPOSE)


def open_entry(sealed: object, key: str) -> Entry | None:
    """What seal_entry() made of the session `key`; None if it is another host's or release's."""
    try:
        if not isinstance(sealed, bytes):
            raise TypeError
        head, _, ticket = unprotect(sealed, key=key, partition=_PURPOSE).partition(b"\0")
        mark, moment, *values = json.loads(head.decode())  # Of bytes it would guess the encoding.
        known: dict[str, Any] = dict(zip(_HEAD, values, strict=True))
        for name in _MOMENTS:
            if known[name] is not None:
                known[name] = datetime.fromisoformat(known[name])
        session = UserSession(key=key, ticket=ticket, **known)
    except (TicketUnreadable, TypeError, ValueError):
        return None
    return Entry(session=session, mark=mark, moment=moment)
