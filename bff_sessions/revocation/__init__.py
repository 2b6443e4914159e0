"""End sessions of others: every revocation uses these functions, and each end is announced once."""

from __future__ import annotations

from datetime import UTC, datetime

from asgiref.sync import sync_to_async

from bff_sessions.contract import DeletedSession, UserSession, UserSessionsFilter
from bff_sessions.events import Ending, EndReason, hook_for
from bff_sessions.revocation import deletes
from bff_sessions.revocation.notes import write_notes
from bff_sessions.secret import hidden_frames
from bff_sessions.signals import sessions_revoked
from bff_sessions.stores import get_store
from bff_sessions.stores.live import is_live

__all__ = [
    "areplace_session",
    "arevoke_session",
    "arevoke_sessions",
    "replace_session",
    "revoke_session",
    "revoke_sessions",
]

# The functions use send_robust(), because the sessions have already ended. A receiver's fault must
# not look like a failed revocation, nor stop other receivers. Django logs the fault.


@hidden_frames()
def revoke_sessions(filter: UserSessionsFilter, *, reason: EndReason | None = None) -> int:
    """End all sessions that match, and return how many of them were live.

    Expired sessions are deleted, too, but nobody is signed out by that. If there was any session,
    send `bff_sessions.signals.sessions_revoked`.

    Args:
        reason: what the users read who sign in again, see `bff_sessions.revocation.notes`.
    """
    return _count_live(_revoke(filter, reason))


@hidden_frames()
async def arevoke_sessions(filter: UserSessionsFilter, *, reason: EndReason | None = None) -> int:
    """See revoke_sessions()."""
    return _count_live(await _arevoke(filter, reason))


@hidden_frames()
def revoke_session(key: str, *, reason: EndReason | None = None) -> bool:
    """End the session under the store key `key`. Return whether there was one, expired or not.

    This also ends anonymous sessions, which no filter can name. The signal names live sessions
    only. A session of a signed-in user ends even if it moves to another store key meanwhile.
    """
    store = get_store()
    session = store.get_user_session(key)
    ended = deletes.delete_user_session(key, session, on_ending=hook_for(Ending.REVOKED))
    if session is None:
        return ended
    if ended:
        write_notes([key], reason)
        sessions_revoked.send_robust(type(store), sessions=[DeletedSession.of(session)])
        return True
    return session.session_id is not None and bool(
        _revoke(UserSessionsFilter.of_session(session), reason)
    )


@hidden_frames()
async def arevoke_session(key: str, *, reason: EndReason | None = None) -> bool:
    """See revoke_session()."""
    store = get_store()
    session = await store.aget_user_session(key)
    ended = await deletes.adelete_user_session(key, session, on_ending=hook_for(Ending.REVOKED))
    if session is None:
        return ended
    if ended:
        await sync_to_async(write_notes)([key], reason)
        await sessions_revoked.asend_robust(type(store), sessions=[DeletedSession.of(session)])
        return True
    return session.session_id is not None and bool(
        await _arevoke(UserSessionsFilter.of_session(session), reason)
    )


@hidden_frames()
def replace_session(session: UserSession) -> bool:
    """End `session`, because its user has signed in again in the same session at the provider.

    Return whether the store had it. Unlike revoke_session(), do not look for the session under
    another store key: the one found there may be the new session.
    """
    hook = hook_for(Ending.REPLACED)
    ended = deletes.delete_user_session(session.key, session, on_ending=hook)
    if ended:
        sessions_revoked.send_robust(type(get_store()), sessions=[DeletedSession.of(session)])
    return ended


@hidden_frames()
async def areplace_session(session: UserSession) -> bool:
    """See replace_session()."""
    hook = hook_for(Ending.REPLACED)
    ended = await deletes.adelete_user_session(session.key, session, on_ending=hook)
    if ended:
        await sessions_revoked.asend_robust(
            type(get_store()), sessions=[DeletedSession.of(session)]
        )
    return ended


def _revoke(filter: UserSessionsFilter, reason: EndReason | None) -> list[DeletedSession]:
    store = get_store()
    deleted = deletes.delete_user_sessions(filter, on_ending=hook_for(Ending.REVOKED))
    ended = _distinct(deleted)
    if ended:
        write_notes([session.key for session in deleted], reason)
        sessions_revoked.send_robust(type(store), sessions=ended)
    return ended


async def _arevoke(filter: UserSessionsFilter, reason: EndReason | None) -> list[DeletedSession]:
    store = get_store()
    deleted = await deletes.adelete_user_sessions(filter, on_ending=hook_for(Ending.REVOKED))
    ended = _distinct(deleted)
    if ended:
        await sync_to_async(write_notes)([session.key for session in deleted], reason)
        await sessions_revoked.asend_robust(type(store), sessions=ended)
    return ended


def _count_live(ended: list[DeletedSession]) -> int:
    now = datetime.now(UTC)
    return sum(is_live(session, now) for session in ended)


def _distinct(ended: list[DeletedSession]) -> list[DeletedSession]:
    """Return each sign-in once: a session that moves may stand under both keys for a moment."""
    return list({session.sign_in_id: session for session in ended}.values())
