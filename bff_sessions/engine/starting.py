"""Write a session with which a sign-in starts or ends, and what subscribers write with it.

Without a subscriber, or without a start or an end, it is the store's own verb. Otherwise one
transaction of the store's database writes both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.db import transaction

from bff_sessions.contract import Actor, DeletedSession, EndReason, UserSession
from bff_sessions.engine import verbs
from bff_sessions.events import Cause, hook_for, hook_for_start
from bff_sessions.measuring import traced
from bff_sessions.revocation import announcing, endings
from bff_sessions.sansio import Steps, in_thread
from bff_sessions.stores import database_of_store, get_store
from bff_sessions.stores.databases.retrying import retry


def starts(session: UserSession, old: UserSession | None) -> bool:
    """Return whether a sign-in starts when `session` is written over `old`."""
    is_other = old is None or old.sign_in_id != session.sign_in_id
    return is_other and session.subject_id is not None


def ends(session: UserSession, old: UserSession | None) -> bool:
    """Return whether the sign-in of `old` ends when `session` is written over it."""
    return old is not None and old.subject_id is not None and old.sign_in_id != session.sign_in_id


def create_user_session(session: UserSession) -> Steps[None]:
    """Create `session`; see UserSessionStore.create_user_session()."""
    record = _find_record(session, None)
    if record is None:
        yield from verbs.create_user_session(session)
        return

    def write() -> int:
        get_store().create_user_session(session)
        return session.version

    steps = in_thread(_write_and_record, session, write, record)
    yield from traced("create_user_session", steps)


def overwrite_user_session(old: UserSession, session: UserSession) -> Steps[int]:
    """Write `session` over `old`; see UserSessionStore.overwrite_user_session()."""
    record = _find_record(session, old)
    if record is None:
        return (yield from verbs.overwrite_user_session(old, session))
    write = partial(get_store().overwrite_user_session, old, session)
    steps = in_thread(_write_and_record, session, write, record)
    return (yield from traced("overwrite_user_session", steps))


def announce(session: UserSession, old: UserSession | None) -> Steps[None]:
    """Announce what has ended and started when `session` was written over `old`."""
    if old is not None and ends(session, old):
        yield from endings.announce_end(old, _cause_of(session))
    if starts(session, old):
        yield from announcing.announce_start(session)


def _find_record(session: UserSession, old: UserSession | None) -> Callable[[], None] | None:
    """Return a function that calls the hooks of subscribers; None if none needs to be called."""
    cause = _cause_of(session)
    ending = hook_for(cause, is_own=True) if ends(session, old) else None
    starting = hook_for_start() if starts(session, old) else None
    if ending is None and starting is None:
        return None

    def record() -> None:
        if ending is not None and old is not None:
            ending([DeletedSession.of(old)])
        if starting is not None:
            starting(session)

    return record


def _cause_of(session: UserSession) -> Cause:
    """Return why the sign-in ends over which `session` is written."""
    if session.subject_id is None:
        return Cause(EndReason.CODE)  # The project has removed the identity from the data.
    return Cause(EndReason.REPLACED, Actor.of_session(session))


def _write_and_record(
    session: UserSession, write: Callable[[], int], record: Callable[[], None]
) -> int:
    using = database_of_store()
    if using is None:
        version = write()
        record()
        return version

    def work() -> int:
        with transaction.atomic(using=using):
            version = write()
            record()
        return version

    def find() -> int | None:
        found = get_store().get_user_session(session.key)
        return None if found is None or found.ticket != session.ticket else found.version

    return retry(using, work, own_result=find)
