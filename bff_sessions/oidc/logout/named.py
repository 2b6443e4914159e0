"""Whom a token names. Imports no optional dependency."""

from __future__ import annotations

from dataclasses import dataclass

from bff_sessions.contract import UserSessionsFilter


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A subject or a session at the provider that a token names. At least one is not None."""

    subject_id: str | None = None
    """The ``sub``. Without a session ID, all sessions of the subject are meant."""
    session_id: str | None = None
    """The ``sid``. With a subject, the session must be theirs."""

    def to_filter(self, issuer: str, exclude_key: str | None = None) -> UserSessionsFilter:
        """Return the filter of these sessions of the provider `issuer`."""
        return UserSessionsFilter(
            issuer=issuer,
            subject_id=self.subject_id,
            session_id=self.session_id,
            exclude_key=exclude_key,
        )
