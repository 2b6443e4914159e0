"""The one definition of a live session, for engine, admin, commands and pages.

The present absolute lifetime counts, also if it was longer when a session was saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter, iterate_user_sessions
from bff_sessions.stores import get_store


class _Session(Protocol):
    """A `UserSession`, or a row of the ORM store."""

    def is_live(self, now: datetime, *, lifetime: timedelta | None = None) -> bool: ...


def is_live(session: _Session, now: datetime | None = None) -> bool:
    """Return whether `session` is live at `now`; None means this moment."""
    now = datetime.now(UTC) if now is None else now
    return session.is_live(now, lifetime=conf.ABSOLUTE_LIFETIME)


def iterate_live_sessions(filter: UserSessionsFilter) -> Iterator[UserSession]:
    """Yield the live sessions that match, newest sign-in first, without tickets."""
    now = datetime.now(UTC)
    found = iterate_user_sessions(get_store(), filter)
    return (session for session in found if is_live(session, now))


def end_of(session: UserSession) -> datetime | None:
    """Return when `session` ends unless it is renewed; None means never."""
    if conf.ABSOLUTE_LIFETIME is None or session.subject_id is None:
        return session.expires
    limit = session.created + conf.ABSOLUTE_LIFETIME
    return limit if session.expires is None else min(limit, session.expires)


def last_seen(session: UserSession) -> datetime:
    """Return when `session` was last used, as far as it is known."""
    return max(session.renewed, session.last_seen or session.renewed)
