"""Deletes of sessions that no take-over may undo, in steps (see `bff_sessions.sansio`).

Each delete bans what it deletes from moving here, in its own transaction. See
`bff_sessions.revocation.bans`.
"""

from __future__ import annotations

from django.db import transaction

from bff_sessions.contract import (
    DeletedSession,
    OnEnding,
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
)
from bff_sessions.measuring import traced
from bff_sessions.revocation.bans import copies_of, database_of_bans, write_bans
from bff_sessions.sansio import Steps, call, in_thread
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.retrying import Doubt, leave_doubt, retry


def delete_user_sessions(
    filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
) -> Steps[list[DeletedSession]]:
    """Call the store's verb, and ban old sessions that match from moving here."""
    store = get_store()
    using = database_of_bans(store)
    if using is not None:
        steps = in_thread(_delete_all_and_ban, store, using, filter, on_ending)
    else:
        verb, twin = store.delete_user_sessions, store.adelete_user_sessions
        steps = call(verb, twin, filter, on_ending=on_ending)
    return traced("delete_user_sessions", steps)


def delete_user_session(
    key: str, session: UserSession | None = None, *, on_ending: OnEnding | None = None
) -> Steps[bool]:
    """Call the store's verb, and ban copies of the session from moving here.

    Args:
        session: the session as the caller loaded it, if another request may have moved it since.
    """
    store = get_store()
    using = database_of_bans(store)
    with Doubt() as doubt:
        if using is not None:
            steps = in_thread(_delete_and_ban, store, using, key, session, on_ending)
        else:
            verb, twin = store.delete_user_session, store.adelete_user_session
            steps = call(verb, twin, key, on_ending=on_ending)
        deleted = yield from traced("delete_user_session", steps)
    if doubt.is_left and session is not None:
        yield from in_thread(_end_where_it_is, store, session, on_ending)
    return deleted


def _delete_all_and_ban(
    store: UserSessionStore, using: str, filter: UserSessionsFilter, on_ending: OnEnding | None
) -> list[DeletedSession]:
    copies = copies_of(filter)
    deleted: list[DeletedSession] = []
    tries: list[list[DeletedSession]] = []

    def delete() -> list[DeletedSession]:
        nonlocal deleted
        deleted = []
        with transaction.atomic(using=using):
            write_bans(using, [copies])
            deleted = store.delete_user_sessions(filter, on_ending=on_ending)
            if copies.session_id is not None:
                # Old copies of these sessions may have no session ID, so ban them by subject.
                others = {copies_of(UserSessionsFilter.of_session(session)) for session in deleted}
                write_bans(using, [other for other in others if other.session_id is None])
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
                write_bans(using, [copies_of(UserSessionsFilter.of_session(known))])
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
