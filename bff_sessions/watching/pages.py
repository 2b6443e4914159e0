"""What is watched, and what its page learns."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from bff_sessions.contract import EndReason, UserSession
from bff_sessions.stores import get_store

Identity: TypeAlias = tuple[str | None, str | None, str | None]


class NewsKind(enum.Enum):
    """What an open page learns about its session."""

    SESSION_ENDED = "session-ended"
    IDENTITY_CHANGED = "identity-changed"
    """Another user has the session now."""
    SERVER_STOPS = "server-stops"
    """The session may live on: the page connects again, and reaches another process."""


@dataclass(frozen=True, slots=True)
class News:
    """What has happened to a session."""

    kind: NewsKind
    reason: EndReason | None = None
    """Why the session has ended; None if that is not known."""


class Page:
    """An open page, or anything else that waits for the end of a session.

    Args:
        session: the session of a signed-in user, as the page's request has loaded it.
        tell: called in the watching thread with the first news. There are no second ones.
        scope: where the session is stored, see `UserSessionStore.scope`; None means the scope of
            this thread.
    """

    __slots__ = ("scope", "session", "tell")

    def __init__(
        self, session: UserSession, tell: Callable[[News], None], scope: str | None = None
    ) -> None:
        if session.subject_id is None:
            raise ValueError("Only the session of a signed-in user can be watched.")
        # Neither a look nor an error report needs the ticket.
        self.session = replace(session, ticket=b"")
        self.tell = tell
        self.scope = get_store().scope if scope is None else scope


def identity_of(session: UserSession) -> Identity:
    """Return to whom `session` belongs."""
    return session.issuer, session.subject_id, session.user_id
