"""Digests of what a session or a filter names: bans store nothing else of a person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import combinations, product
from typing import Final

from bff_sessions.contract import ANY, AnyType, UserSession, UserSessionsFilter

# The most selective first.
_NAMES: Final = ("session_id", "subject_id", "user_id")


def ban_of(filter: UserSessionsFilter) -> tuple[str, str]:
    """Return the digest of `filter`, and the name of the lock under which to write its ban."""
    texts = _texts(filter)
    # One text is enough for the lock: each session that matches has all of them.
    return _digest(texts, filter.issuer, filter.partition), _lock_name(*next(iter(texts.items())))


def digests_of(session: UserSession) -> set[str]:
    """Return the digest of every filter that matches `session`."""
    texts = list(_texts(session).items())
    chosen = [dict(some) for n in range(len(texts)) for some in combinations(texts, n + 1)]
    issuers: tuple[str | AnyType | None, ...] = (session.issuer, ANY)
    partitions: tuple[str | AnyType, ...] = (session.partition, ANY)
    return {_digest(*parts) for parts in product(chosen, issuers, partitions)}


def lock_names(session: UserSession) -> set[str]:
    """Return the names of the locks under which bans of `session` are written."""
    return {_lock_name(name, text) for name, text in _texts(session).items()}


def _texts(record: UserSession | UserSessionsFilter) -> dict[str, str]:
    """Return the session ID, subject and user in `record`, without those that are None."""
    texts = {name: getattr(record, name) for name in _NAMES}
    return {name: text for name, text in texts.items() if text is not None}


def _lock_name(name: str, text: str) -> str:
    # Four hexadecimal digits bound the number of rows. Two names may share a lock.
    return _hash("lock", name, text)[:4]


def _digest(
    texts: Mapping[str, str], issuer: str | AnyType | None, partition: str | AnyType
) -> str:
    """Return the digest under which the ban of a filter is stored."""
    # A list around the value distinguishes None from ANY.
    wanted = [None if value is ANY else [value] for value in (issuer, partition)]
    return _hash("ban", *[texts.get(name) for name in _NAMES], *wanted)


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
