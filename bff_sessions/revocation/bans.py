"""Bans of sessions that must not move here from the engine that was used before.

While BFF_SESSIONS["TAKE_OVER"] is set, the old table may hold more sessions of the same person, and
copies of a session that has moved here. No revocation finds them there, because the old table does
not name the subject. Each delete of `bff_sessions.revocation.deletes` therefore writes a ban in its
own transaction. No old session that matches the ban may move here while TAKE_OVER is set.

A take-over and a delete that concern the same session ID, subject or user lock the same row. If the
take-over has the lock first, its session is committed before the delete looks for sessions.
Otherwise the take-over finds the ban. Both look in a separate statement once they have the lock, as
READ COMMITTED requires.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import transaction

from bff_sessions import conf
from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
    UserSessionStoreTransactions,
)
from bff_sessions.identity.session_ids import is_moved_session_id
from bff_sessions.revocation.digests import ban_of, digests_of, lock_names
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.retrying import retry

if TYPE_CHECKING:
    from bff_sessions.revocation.models import TakeOverBan, TakeOverBanQuerySet


def ban(filter: UserSessionsFilter) -> None:
    """Ban old sessions that match from moving here, without deleting any session."""
    using = database_of_bans(get_store())
    if using is None:
        return

    def write() -> None:
        with transaction.atomic(using=using):
            write_bans(using, [copies_of(filter)])

    retry(using, write)


def lock(sessions: Iterable[UserSession], using: str) -> None:
    """Make other transactions wait that want to ban `sessions`, until this transaction ends."""
    names: set[str] = set().union(*map(lock_names, sessions))
    _rows(using).lock(names, partition=conf.PARTITION)


def banned(sessions: Iterable[UserSession], using: str) -> set[str]:
    """Return the store keys of those `sessions` that must not move here."""
    digests = {session.key: digests_of(session) for session in sessions}
    found = _rows(using).find(set().union(*digests.values()))
    return {key for key, matching in digests.items() if matching & found}


def database_of_bans(store: UserSessionStore) -> str | None:
    """Return the alias of the database of bans; None if no sessions move here."""
    transactions = store.get_ability(UserSessionStoreTransactions)
    return None if conf.TAKE_OVER is None or transactions is None else transactions.using


def copies_of(filter: UserSessionsFilter) -> UserSessionsFilter:
    """Return the filter that matches old copies of the sessions that `filter` matches.

    Without a session ID from the provider, copies of a session look like other old sessions of
    the same person. The filter then matches all of them.
    """
    names_person = filter.subject_id is not None or filter.user_id is not None
    if names_person and is_moved_session_id(filter.session_id):
        return replace(filter, session_id=None)
    return filter


def write_bans(using: str, filters: Iterable[UserSessionsFilter]) -> None:
    """Write a ban of each of `filters`, in the transaction around this."""
    _rows(using).ban(dict(map(ban_of, filters)), partition=conf.PARTITION)


def _rows(using: str) -> TakeOverBanQuerySet:
    # By name, because a project may import this package before there are models.
    model: type[TakeOverBan] = apps.get_model("bff_sessions", "TakeOverBan")
    return model.objects.using(using)
