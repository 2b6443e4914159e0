"""Who is signed in to a session: issuer, subject, session ID and user."""

from __future__ import annotations

from dataclasses import dataclass, field

from bff_sessions.contract import check_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The signed-in person; every field is None for an anonymous session."""

    issuer: str | None = None
    """The ``iss`` claim; None without a provider."""
    subject_id: str | None = None
    """The ``sub`` claim; without a provider the primary key of Django's user."""
    session_id: str | None = None
    """The ``sid`` claim; None if the provider sends none."""
    user_id: str | None = None
    """The primary key of Django's user, as text."""
    auth_time: float | None = field(default=None, compare=False)
    """The time of the sign-in at the provider, in seconds since 1970; None if it is unknown.

    This is the ``auth_time`` claim, or else the ``iat`` claim of the ID token.
    """
    issued_at: float | None = field(default=None, compare=False)
    """The time when the provider issued the ID token, its ``iat`` claim; None if it is unknown."""

    def __post_init__(self) -> None:
        for name in ("issuer", "subject_id", "session_id", "user_id"):
            value = getattr(self, name)
            check_text(name, value)
            if value is not None and type(value) is not str:
                # A subclass, such as a member of TextChoices: the store returns a plain text.
                object.__setattr__(self, name, str.__str__(value))
        if self.subject_id is None and (self.issuer, self.session_id, self.user_id) != (None,) * 3:
            raise ValueError(
                "subject_id must be set if issuer, session_id or user_id is; it is None."
            )


ANONYMOUS = Identity()
