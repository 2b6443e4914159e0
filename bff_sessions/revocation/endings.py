"""End sessions of others, in steps, and announce each end once.

The signal is sent by send_robust(), because the sessions have already ended. A receiver's fault
must not look like a failed revocation, nor stop other receivers. Django logs the fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from bff_sessions.contract import DeletedSession, UserSession, UserSessionsFilter
from bff_sessions.events import Ending, EndReason, distinct, hook_for
from bff_sessions.exceptions import RevocationUnconfirmed
from bff_sessions.revocation.deletes import delete_user_session, delete_user_sessions
from bff_sessions.revocation.notes import write_notes
from bff_sessions.sansio import Steps, call
from bff_sessions.signals import sessions_revoked
from bff_sessions.stores import get_store
from bff_sessions.stores.live import is_live


def revoke_sessions(filter: UserSessionsFilter, reason: EndReason | None) -> Steps[int]:
    """See bff_sessions.revocation.revoke_sessions()."""
    ended = yield from _revoke(filter, reason)
    now = datetime.now(UTC)
    return sum(is_live(session, now) for session in ended)


def revoke_session(key: str, reason: EndReason | None = None) -> Steps[bool]:
    """See bff_sessions.revocation.revoke_session()."""
    store = get_store()
    session = yield from call(store.get_user_session, store.aget_user_session, key)
    try:
        ended = yield from delete_user_session(key, session, on_ending=hook_for(Ending.REVOKED))
    except RevocationUnconfirmed as unconfirmed:
        yield from _tell(unconfirmed.deleted, reason)
        raise
    if session is None:
        return ended
    if ended:
        yield from _write_notes([key], reason)
        yield from _announce([DeletedSession.of(session)])
        return True
    if session.session_id is None:  # No filter names an anonymous session.
        return False
    return bool((yield from _revoke(UserSessionsFilter.of_session(session), reason)))


def replace_session(session: UserSession, *, announce: bool = True) -> Steps[bool]:
    """End `session`, because its user has signed in again in the same session at the provider.

    Return whether the store had it. Unlike revoke_session(), do not look for the session under
    another store key: the one found there may be the new session.
    """
    hook = hook_for(Ending.REPLACED)
    ended = yield from delete_user_session(session.key, session, on_ending=hook)
    if ended and announce:
        yield from _announce([DeletedSession.of(session)])
    return ended


def _revoke(filter: UserSessionsFilter, reason: EndReason | None) -> Steps[list[DeletedSession]]:
    try:
        deleted = yield from delete_user_sessions(filter, on_ending=hook_for(Ending.REVOKED))
    except RevocationUnconfirmed as unconfirmed:
        # A repetition does not find them again.
        yield from _tell(unconfirmed.deleted, reason)
        raise
    return (yield from _tell(deleted, reason))


def _tell(
    deleted: Sequence[DeletedSession], reason: EndReason | None
) -> Steps[list[DeletedSession]]:
    """Note and announce that the sessions have ended. Return each sign-in once."""
    ended = distinct(deleted)
    if ended:
        yield from _write_notes([session.key for session in deleted], reason)
        yield from _announce(ended)
    return ended


def _write_notes(keys: Sequence[str], reason: EndReason | None) -> Steps[None]:
    if reason is not None:
        # After a rollback the sessions live on, and may end for another reason.
        store = get_store()
        yield from call(store.on_commit, store.aon_commit, partial(write_notes, keys, reason))


def _announce(ended: Sequence[DeletedSession]) -> Steps[object]:
    send, twin = sessions_revoked.send_robust, sessions_revoked.asend_robust
    return call(send, twin, type(get_store()), sessions=ended)
