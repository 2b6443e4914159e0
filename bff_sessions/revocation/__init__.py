"""End sessions of others. Every revocation uses these functions, which announce each end once."""

from __future__ import annotations

from bff_sessions.contract import Actor, EndReason, UserSessionsFilter
from bff_sessions.events import Cause
from bff_sessions.revocation import endings
from bff_sessions.revocation.users import arevoke_user_sessions, revoke_user_sessions
from bff_sessions.sansio import arun, run
from bff_sessions.secret import hidden_frames

__all__ = [
    "arevoke_session",
    "arevoke_sessions",
    "arevoke_user_sessions",
    "revoke_session",
    "revoke_sessions",
    "revoke_user_sessions",
]


@hidden_frames()
def revoke_sessions(
    filter: UserSessionsFilter,
    *,
    reason: EndReason = EndReason.CODE,
    actor: Actor | None = None,
) -> int:
    """End all sessions that match, and return how many of them were live.

    Expired sessions are deleted, too, but do not count. If any session ended, send
    `bff_sessions.signals.sessions_ended` after the commit.

    Args:
        filter: which sessions.
        reason: why the sessions end. The signal has it, and a user who signs in again may see it.
        actor: who ends them, for example ``Actor.of_user(request.user)``.

    Raises:
        TypeError: if `reason` is not an `EndReason`, or `actor` not an `Actor`.
        RevocationUnconfirmed: if the sessions have ended, but too few replicas of the store have
            confirmed it. Repeat the call.
    """
    return run(endings.revoke_sessions(filter, Cause(reason, actor)))


@hidden_frames()
async def arevoke_sessions(
    filter: UserSessionsFilter,
    *,
    reason: EndReason = EndReason.CODE,
    actor: Actor | None = None,
) -> int:
    """See revoke_sessions()."""
    return await arun(endings.revoke_sessions(filter, Cause(reason, actor)))


@hidden_frames()
def revoke_session(
    key: str, *, reason: EndReason = EndReason.CODE, actor: Actor | None = None
) -> bool:
    """End the session under the store key `key`. Return whether there was one, expired or not.

    This also ends anonymous sessions, which no filter can name and no signal announces. A session
    of a signed-in user ends even if it moves to another store key meanwhile. For the arguments see
    revoke_sessions().
    """
    return run(endings.revoke_session(key, Cause(reason, actor)))


@hidden_frames()
async def arevoke_session(
    key: str, *, reason: EndReason = EndReason.CODE, actor: Actor | None = None
) -> bool:
    """See revoke_session()."""
    return await arun(endings.revoke_session(key, Cause(reason, actor)))
