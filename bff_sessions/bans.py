"""Deletes of sessions that no take-over may undo.

While BFF_SESSIONS["TAKE_OVER"] is set, the old table may hold more sessions of the same person, and
copies of a session that has moved here. No revocation finds them there, because the old table does
not name the subject. Each delete of this module therefore writes a ban in its own transaction. No
old session that matches the ban may move here while TAKE_OVER is set.

A take-over and a delete that concern the same session ID, subject or user lock the same row. If the
take-over has the lock first, its session is committed before the delete looks for sessions.
Otherwise the take-over finds the ban. Both look in a separate statement once they have the lock, as
READ COMMITTED requires.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Final

from asgiref.sync import sync_to_async
from django.db import transaction

from bff_sessions import conf
from bff_sessions.contract import (
    ANY,
    AnyType,
    DeletedSession,
    OnEnding,
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
    UserSessionStoreTransactions,
)
from bff_sessions.retrying import Doubt, leave_doubt, retry
from bff_sessions.stores import get_store

if TYPE_CHECKING:
    from bff_sessions.models import TakeOverBanQuerySet

__all__ = [
    "aban",
    "adelete_user_session",
    "adelete_user_sessions",
    "ban",
    "banned",
    "delete_user_session",
    "delete_user_sessions",
    "lock",
    "moved_session_id",
]

# Begins the session ID of a session that moved here and had no session ID from a provider.
_MOVED: Final = "moved-"
# The most selective first.
_NAMES: Final = ("session_id", "subject_id", "user_id")


def delete_user_sessions(
    filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
) -> list[DeletedSession]:
    """Call the store's verb, and ban old sessions that match from moving here."""
    store = get_store()
    using = _using(store)
    if using is None:
        return store.delete_user_sessions(filter, on_ending=on_ending)
    copies = _of_copies(filter)
    deleted: list[DeletedSession] = []
    tries: list[list[DeletedSession]] = []

    def delete() -> list[DeletedSession]:
        nonlocal deleted
        deleted = []
        with transaction.atomic(using=using):
            _write(using, [copies])
            deleted = store.delete_user_sessions(filter, on_ending=on_ending)
            if copies.session_id is not None:
                # Old copies of these sessions may have no session ID, so ban them by subject.
                others = {_of_copies(UserSessionsFilter.of_session(session)) for session in deleted}
                _write(using, [other for other in others if other.session_id is None])
        return deleted

    def add_doubtful(found: list[DeletedSession]) -> list[DeletedSession]:
        # A transaction in doubt was rolled back as a whole if a later one finds one of its
        # sessions again.
        done: list[list[DeletedSession]] = []
        for batch in (*tries, found):
            again = {session.sign_in_id for session in batch}
            done = [other for other in done if not any(s.sign_in_id in again for s in other)]
            done.append(batch)
        return [session for batch in done for session in batch]

    return retry(using, delete, own_result=lambda: tries.append(deleted), if_in_doubt=add_doubtful)


async def adelete_user_sessions(
    filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
) -> list[DeletedSession]:
    """See delete_user_sessions()."""
    store = get_store()
    if _using(store) is None:
        return await store.adelete_user_sessions(filter, on_ending=on_ending)
    return await sync_to_async(delete_user_sessions)(filter, on_ending=on_ending)


def delete_user_session(
    key: str, session: UserSession | None = None, *, on_ending: OnEnding | None = None
) -> bool:
    """Call the store's verb, and ban copies of the session from moving here.

    Args:
        session: the session as the caller loaded it, if another request may have moved it since.
    """
    store = get_store()
    using = _using(store)
    with Doubt() as doubt:
        if using is None:
            deleted = store.delete_user_session(key, on_ending=on_ending)
        else:
            deleted = _delete_and_ban(store, using, key, session, on_ending)
    if doubt.is_left and session is not None:
        _end_where_it_is(store, session, on_ending)
    return deleted


async def adelete_user_session(
    key: str, session: UserSession | None = None, *, on_ending: OnEnding | None = None
) -> bool:
    """See delete_user_session()."""
    store = get_store()
    if _using(store) is not None:
        return await sync_to_async(delete_user_session)(key, session, on_ending=on_ending)
    with Doubt() as doubt:
        deleted = await store.adelete_user_session(key, on_ending=on_ending)
    if doubt.is_left and session is not None:
        await sync_to_async(_end_where_it_is)(store, session, on_ending)
    return deleted


def ban(filter: UserSessionsFilter) -> None:
    """Ban old sessions that match from moving here, without deleting any session."""
    using = _using(get_store())
    if using is None:
        return

    def write() -> None:
        with transaction.atomic(using=using):
            _write(using, [_of_copies(filter)])

    retry(using, write)


async def aban(filter: UserSessionsFilter) -> None:
    """See ban()."""
    if _using(get_store()) is not None:
        await sync_to_async(ban)(filter)


def moved_session_id() -> str:
    """Return a random session ID for a session that moves here without one.

    It marks a session that may have copies in the old table. Only their subject identifies them.
    """
    return _MOVED + secrets.token_hex(16)


def lock(sessions: Iterable[UserSession], using: str) -> None:
    """Make other transactions wait that want to ban `sessions`, until this transaction ends."""
    texts = {(name, text) for session in sessions for name, text in _texts(session).items()}
    names = {_lock_name(name, text) for name, text in texts}
    _rows(using).lock(names, partition=conf.PARTITION)


def banned(sessions: Iterable[UserSession], using: str) -> set[str]:
    """Return the store keys of those `sessions` that must not move here."""
    digests = {session.key: set(_matching(session)) for session in sessions}
    found = _rows(using).find(set().union(*digests.values()))
    return {key for key, matching in digests.items() if matching & found}


def _delete_and_ban(
    store: UserSessionStore,
    using: str,
    key: str,
    session: UserSession | None,
    on_ending: OnEnding | None,
) -> bool:
    deleted = False
    tries: list[bool] = []

    def delete() -> bool:
        nonlocal deleted
        deleted = False
        with transaction.atomic(using=using):
            known = session or store.get_user_session(key)
            # An anonymous session has no subject that a ban could name.
            if known is not None and known.subject_id is not None:
                _write(using, [_of_copies(UserSessionsFilter.of_session(known))])
            deleted = store.delete_user_session(key, on_ending=on_ending)
        return deleted

    def add_doubtful(result: bool) -> bool:
        if not result and any(tries):
            leave_doubt()
            return True
        return result

    return retry(using, delete, own_result=lambda: tries.append(deleted), if_in_doubt=add_doubtful)


def _end_where_it_is(
    store: UserSessionStore, session: UserSession, on_ending: OnEnding | None
) -> None:
    """Delete `session` if it moved to another store key before it could be deleted.

    The callers of a delete treat one in doubt as done, so they do not look for the session again.
    """
    if session.session_id is None:  # No filter names an anonymous session.
        return
    for other in store.get_user_sessions(UserSessionsFilter.of_session(session)):
        if other.sign_in_id == session.sign_in_id:
            store.delete_user_session(other.key, on_ending=on_ending)


def _using(store: UserSessionStore) -> str | None:
    """Return the alias of the database of bans; None if no sessions move here."""
    transactions = store.get_ability(UserSessionStoreTransactions)
    return None if conf.TAKE_OVER is None or transactions is None else transactions.using


def _rows(using: str) -> TakeOverBanQuerySet:
    # Imported here, because this module is imported before models can be.
    from bff_sessions.models import TakeOverBan

    return TakeOverBan.objects.using(using)


def _write(using: str, filters: Iterable[UserSessionsFilter]) -> None:
    bans = {}
    for filter in filters:
        texts = _texts(filter)
        digest = _digest(texts, filter.issuer, filter.partition)
        # One text is enough for the lock: each session that matches has all of them.
        bans[digest] = _lock_name(*next(iter(texts.items())))
    _rows(using).ban(bans, partition=conf.PARTITION)


def _of_copies(filter: UserSessionsFilter) -> UserSessionsFilter:
    """Return the filter that matches old copies of the sessions that `filter` matches.

    Without a session ID from the provider, copies of a session look like other old sessions of
    the same person. The filter then matches all of them.
    """
    is_moved = filter.session_id is not None and filter.session_id.startswith(_MOVED)
    if is_moved and (filter.subject_id is not None or filter.user_id is not None):
        return replace(filter, session_id=None)
    return filter


def _texts(record: UserSession | UserSessionsFilter) -> dict[str, str]:
    """Return the session ID, subject and user in `record`, without those that are None."""
    texts = {name: getattr(record, name) for name in _NAMES}
    return {name: text for name, text in texts.items() if text is not None}


def _matching(session: UserSession) -> Iterator[str]:
    """Yield the digest of every filter that matches `session`."""
    texts = list(_texts(session).items())
    chosen = (dict(some) for n in range(len(texts)) for some in combinations(texts, n + 1))
    issuers: tuple[str | AnyType | None, ...] = (session.issuer, ANY)
    partitions: tuple[str | AnyType, ...] = (session.partition, ANY)
    for some, issuer, partition in product(chosen, issuers, partitions):
        yield _digest(some, issuer, partition)


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
    # A ban stores digests instead of the names themselves, as Logout does.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
