"""The one door through which sessions of others end: each end is announced once."""

from __future__ import annotations

from bff_sessions.contract import DeletedSession, UserSession, UserSessionsFilter
from bff_sessions.events import Ending, hook_for
from bff_sessions.revocation import deletes
from bff_sessions.secret import hidden_frames
from bff_sessions.signals import sessions_revoked
from bff_sessions.stores import get_store

__all__ = [
    "areplace_session",
    "arevoke_session",
    "arevoke_sessions",
    "replace_session",
    "revoke_session",
    "revoke_sessions",
]

# send_robust(): the sessions are ended already, so a receiver's fault must neither look like a
# failed revocation nor keep the other receivers from hearing of it. Django logs the fault.


@hidden_frames()
def revoke_sessions(filter: UserSessionsFilter) -> int:
    """End all sessions that match, expired or not, and return their number.

    Sends `bff_sessions.signals.sessions_revoked` if there was one.
    """
    store = get_store()
    ended = deletes.delete_user_sessions(filter, on_ending=hook_for(Ending.REVOKED))
    if ended:
        sessions_revoked.send_robust(type(store), sessions=ended)
    return len(ended)


@hidden_frames()
async def arevoke_sessions(filter: UserSessionsFilter) -> int:
    """See revoke_sessions()."""
    store = get_store()
    ended = await deletes.adelete_user_sessions(filter, on_ending=hook_for(Ending.REVOKED))
    if ended:
        await sessions_revoked.asend_robust(type(store), sessions=ended)
    return len(ended)


@hidden_frames()
def revoke_session(key: str) -> bool:
    """End the one session under the store key `key`. Whether there was one, expired or not.

    For anonymous sessions too, which no filter can name. The signal tells of live ones. Where
    somebody is signed in, it ends also if it moves to another key meanwhile.
    """
    store = get_store()
    session = store.get_user_session(key)
    ended = deletes.delete_user_session(key, session, on_ending=hook_for(Ending.REVOKED))
    if session is None:
        return ended
    if ended:
        sessions_revoked.send_robust(type(store), sessions=[DeletedSession.of(session)])
        return True
    return (
        session.session_id is not None
        and revoke_sessions(UserSessionsFilter.of_session(session)) > 0
    )


@hidden_frames()
async def arevoke_session(key: str) -> bool:
    """See revoke_session()."""
    store = get_store()
    session = await store.aget_user_session(key)
    ended = await deletes.adelete_user_session(key, session, on_ending=hook_for(Ending.REVOKED))
    if session is None:
        return ended
    if ended:
        await sessions_revoked.asend_robust(type(store), sessions=[DeletedSession.of(session)])
        return True
    return (
        session.session_id is not None
        and await arevoke_sessions(UserSessionsFilter.of_session(session)) > 0
    )


@hidden_frames()
def replace_session(session: UserSession) -> bool:
    """End `session`, as its user has signed in anew to the same session at the provider.

    Return whether it was there. Unlike revoke_session() it does not look where the session has
    moved to: that may be the new one.
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
