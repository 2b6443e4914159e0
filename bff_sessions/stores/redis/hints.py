"""Write, read and remove the hints that find sessions, in steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bff_sessions.contract import DeletedSession, UserSession, UserSessionsFilter, UserSessionUpdate
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis import layout, names, scripts
from bff_sessions.stores.redis.commands import Command, script_of
from bff_sessions.stores.redis.link import OTHER, Link

# About how many members one ZSCAN reads, so that others need not wait for it.
_SCANNED: Final = 500


def to_write(
    link: Link, key: str, partition: str, session: UserSession | UserSessionUpdate | DeletedSession
) -> list[Command]:
    """Return the commands that write the hints at `session`, to be sent before its own."""
    hint = names.write_hint(key, partition, session.issuer)
    cover = layout.cover_of(session.expires, link.grace)
    commands = [script_of(scripts.HINT, name, cover, hint) for name in link.names.hints(session)]
    if link.grace and session.expires is not None:
        name, ends = link.names.expiring(key), session.expires.timestamp()
        commands.append(script_of(scripts.EXPIRING, name, ends, hint))
    return commands


def to_remove(link: Link, session: UserSession | DeletedSession) -> list[Command]:
    """Return the commands that remove the hints at a deleted `session`."""
    hint = names.write_hint(session.key, session.partition, session.issuer)
    sets = [*link.names.hints(session), link.names.closed(session.key)]
    if link.grace:
        sets.append(link.names.expiring(session.key))
    return [("ZREM", name, hint) for name in sets]


def find(link: Link, filter: UserSessionsFilter) -> Steps[dict[str, bytes]]:
    """Return the store keys, each with its hint, of all sessions that may match.

    This reads the hints of one criterion: the sessions found may not match the others.
    """
    name = next(iter(link.names.hints(filter)))
    found: dict[str, bytes] = {}
    cursor: Any = 0
    while True:
        answer = yield from link.ask("ZSCAN", name, cursor, "COUNT", _SCANNED)
        if answer == OTHER:
            return found
        cursor, members = answer
        for hint, _ in members:
            if (key := names.read_hint(hint, filter)) is not None:
                found[key] = hint
        if int(cursor) == 0:
            return found


def narrow(
    link: Link, filter: UserSessionsFilter, found: Mapping[str, bytes]
) -> Steps[dict[str, bytes]]:
    """Return those of `found` that the hints of the other criteria name, too."""
    _, *others = link.names.hints(filter)
    for name in others:
        # A value that is not a set excludes nothing.
        scores = yield from link.send([("ZSCORE", name, hint) for hint in found.values()])
        found = {
            key: hint
            for (key, hint), score in zip(found.items(), scores, strict=True)
            if score is not None
        }
    return dict(found)


def read(
    link: Link, keys: Iterable[str], *, with_tickets: bool = True
) -> Steps[list[UserSession | None]]:
    """Return the sessions under `keys`, and None for each key that has none."""
    fields = layout.READ if with_tickets else layout.READ[:-1]
    keys = list(keys)
    found = yield from link.send([("HMGET", link.names.session(key), *fields) for key in keys])
    return [layout.read_session(key, values) for key, values in zip(keys, found, strict=True)]
