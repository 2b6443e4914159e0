"""The one door through which sessions end, in steps. Each end is announced once, with its cause.

`bff_sessions.revocation.cleaning` is its part for expired sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from bff_sessions.contract import (
    DeletedSession,
    EndReason,
    OnEnding,
    UserSession,
    UserSessionsFilter,
    UserSessionStoreRepair,
)
from bff_sessions.events import Cause, hook_for
from bff_sessions.exceptions import RevocationUnconfirmed
from bff_sessions.revocation.announcing import announce_commit, announce_ends, announces_ends
from bff_sessions.revocation.deletes import delete_user_session, delete_user_sessions
from bff_sessions.revocation.notes import is_noted, write_notes
from bff_sessions.sansio import Steps, call, in_thread
from bff_sessions.stores import get_store
from bff_sessions.stores.live import is_live


def revoke_sessions(filter: UserSessionsFilter, cause: Cause) -> Steps[int]:
    """See bff_sessions.revocation.revoke_sessions()."""
    ended = yield from end_matching(filter, cause)
    now = datetime.now(UTC)
    return sum(is_live(session, now) for session in ended)


def revoke_session(key: str, cause: Cause) -> Steps[bool]:
    """See bff_sessions.revocation.revoke_session()."""
    store = get_store()
    session = yield from call(store.get_user_session, store.aget_user_session, key)
    ended = yield from end_one(key, session, cause)
    if ended or session is None or session.session_id is None:
        return ended  # No filter names an anonymous session.
    return bool((yield from end_matching(UserSessionsFilter.of_session(session), cause)))


def end_one(
    key: str,
    session: UserSession | None,
    cause: Cause,
    *,
    is_own: bool = False,
    announce: bool = True,
) -> Steps[bool]:
    """End the session under the store key `key`. Return whether the store had it.

    Do not look for it under another store key: the one found there may be a new session.

    Args:
        session: the session as the caller knows it; None if the store has to say what it was.
        is_own: whether a request ends its own session, see `bff_sessions.events.subscribe`.
        announce: False if the caller has already announced the end of this sign-in.
    """
    hook = hook_for(cause, is_own=is_own)
    ended: list[DeletedSession] = []
    # A sign-out is a request of every user: it makes nothing that nobody receives.
    if session is not None and (announces_ends() or is_noted(cause.reason)):
        ended = [DeletedSession.of(session)]
    elif session is None and announces_ends():
        hook = _collecting(ended, hook)
    try:
        is_ended = yield from delete_user_session(key, session, on_ending=hook)
    except RevocationUnconfirmed as unconfirmed:
        if announce:
            yield from _announce(unconfirmed.deleted, cause)
        raise
    if is_ended and announce:
        yield from (_announce(ended, cause) if ended else announce_commit())
    return is_ended


def end_matching(
    filter: UserSessionsFilter, cause: Cause, *, is_own: bool = False
) -> Steps[list[DeletedSession]]:
    """End all sessions that match. Return each sign-in once.

    Args:
        is_own: see end_one().
    """
    hook = hook_for(cause, is_own=is_own)
    try:
        deleted = yield from delete_user_sessions(filter, on_ending=hook)
    except RevocationUnconfirmed as unconfirmed:
        # A repetition does not find them again.
        yield from _announce(unconfirmed.deleted, cause)
        raise
    return (yield from _announce(deleted, cause))


def finish_deletes(repair: UserSessionStoreRepair) -> Steps[None]:
    """Finish the deletes that a crash has interrupted, and announce them.

    The process that died had not announced them. A session that another process finishes is not
    among them.
    """
    # The real one died with that process.
    cause = Cause(EndReason.CODE)
    try:
        deleted = yield from in_thread(repair.finish_deletes, hook_for(cause))
    except RevocationUnconfirmed as unconfirmed:
        yield from _announce(unconfirmed.deleted, cause)
        raise
    yield from _announce(deleted, cause)


def announce_end(session: UserSession, cause: Cause) -> Steps[None]:
    """Announce the end of `session`, over which another sign-in has been written."""
    yield from announce_ends(cause.stamp([DeletedSession.of(session)]))


def _collecting(ended: list[DeletedSession], hook: OnEnding | None) -> OnEnding:
    """Return a hook that also writes what ends to `ended`."""

    def on_ending(batch: Sequence[DeletedSession]) -> None:
        ended[:] = batch  # A store may repeat the call.
        if hook is not None:
            hook(batch)

    return on_ending


def _announce(deleted: Sequence[DeletedSession], cause: Cause) -> Steps[list[DeletedSession]]:
    """Note and announce that the sessions have ended. Return each sign-in once."""
    if not deleted:
        return []
    ended = cause.stamp(deleted)
    if ended and is_noted(cause.reason):
        # After a rollback the sessions live on, and may end for another reason.
        store, keys = get_store(), [session.key for session in deleted]
        note = partial(write_notes, keys, cause.reason)
        yield from call(store.on_commit, store.aon_commit, note)
    yield from announce_ends(ended)
    return ended
