"""What is in the cache: under which names, and how a session is written there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from datetime import datetime
from typing import Final, NamedTuple

from bff_sessions.contract import MOMENTS, UserSession
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.protection import open_sealed, seal

__all__ = ["Entry", "entry_name", "mark_name", "names_of", "open_entry", "seal_entry"]

# The format of an entry is part of its name.
_PREFIX: Final = "bff_sessions:1:"
_PREFIX_BYTES: Final = _PREFIX.encode()

_NAMES: Final = tuple(f.name for f in fields(UserSession) if f.name not in ("key", "ticket"))
# Every warm load decodes one: without what json.loads() does before and after.
_decode = json.JSONDecoder().raw_decode


def entry_name(key: str) -> str:
    # The cache does not get to know the store's key. One from outside may be any text.
    encoded = key.encode(errors="surrogatepass")
    return _PREFIX + hashlib.sha256(_PREFIX_BYTES + encoded).hexdigest()


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
    scope: str
    """Where the session was read, see `UserSessionStore.scope`."""


def seal_entry(entry: Entry) -> bytes:
    """Encrypt `entry`, bound to its session and scope: nothing of it can be read."""
    session = entry.session
    values = [getattr(session, name) for name in _NAMES]
    head = json.dumps([entry.mark, entry.moment, *values], default=datetime.isoformat).encode()
    plain = head + b"\0" + session.ticket
    return seal(plain, bound_to=(session.key, entry.scope), purpose="cache entry")


def open_entry(sealed: object, key: str, scope: str) -> Entry | None:
    """Return what seal_entry() made of the session `key` in `scope`.

    None for what does not open: an entry of another scope, host or release.
    """
    try:
        if not isinstance(sealed, bytes):
            raise TypeError
        plain = open_sealed(sealed, bound_to=(key, scope), purpose="cache entry")
        head, _, ticket = plain.partition(b"\0")
        (mark, moment, *values), _ = _decode(head.decode())
        named = dict(zip(_NAMES, values, strict=True))
        for name in MOMENTS:
            if (text := named[name]) is not None:
                named[name] = datetime.fromisoformat(text)
        session = UserSession(key=key, ticket=ticket, **named)
    except (TicketUnreadable, TypeError, ValueError):
        return None
    return Entry(session, mark, moment, scope)
