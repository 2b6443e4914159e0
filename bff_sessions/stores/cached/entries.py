"""Names in the cache, and the format of its entries."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from datetime import datetime
from typing import Final, NamedTuple

from bff_sessions.contract import MOMENTS, UserSession
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.protection import open_sealed, seal

# The name contains the version of the format, so that another release ignores the entry.
_PREFIX: Final = "bff_sessions:2:"
_PREFIX_BYTES: Final = _PREFIX.encode()

_NAMES: Final = tuple(f.name for f in fields(UserSession) if f.name not in ("key", "ticket"))
# Every load from the cache calls this. raw_decode() skips the checks of json.loads().
_decode = json.JSONDecoder().raw_decode


def entry_name(key: str) -> str:
    """Return the name of the session's entry: a digest, so that the cache has no store keys."""
    # A key from outside may contain a lone surrogate.
    encoded = key.encode(errors="surrogatepass")
    digest = hashlib.sha256(_PREFIX_BYTES + encoded).hexdigest()
    # A Redis Cluster keeps names with the same text in braces on the same node.
    return f"{_PREFIX}{{{digest}}}"


def mark_name(key: str) -> str:
    """Return the name of the session's mark."""
    return f"{entry_name(key)}:mark"


def tombstone_name(key: str) -> str:
    """Return the name of the session's tombstone."""
    return f"{entry_name(key)}:ended"


def names_of(key: str) -> tuple[str, str, str]:
    """Return the names of the session's entry, mark and tombstone."""
    name = entry_name(key)
    return name, f"{name}:mark", f"{name}:ended"


class Entry(NamedTuple):
    """A session as a reader found it in the store."""

    session: UserSession
    mark: int | None
    """The session's mark before the reader read the store."""
    moment: float
    """The time before the reader read the store, in seconds since the epoch."""
    scope: str
    """The scope in which the session was read, see `UserSessionStore.scope`."""


def seal_entry(entry: Entry) -> bytes:
    """Return `entry` encrypted, and bound to its store key and scope."""
    session = entry.session
    values = [getattr(session, name) for name in _NAMES]
    head = json.dumps([entry.mark, entry.moment, *values], default=datetime.isoformat).encode()
    plain = head + b"\0" + session.ticket
    return seal(plain, bound_to=(session.key, entry.scope), purpose="cache entry")


def open_entry(sealed: object, key: str, scope: str) -> Entry | None:
    """Return the entry that seal_entry() encrypted for the session `key` in `scope`.

    Return None if it does not open: it may be of another scope, host or release.
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
