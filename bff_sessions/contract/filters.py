"""Which sessions a list or a delete is about."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Protocol

from bff_sessions.contract.sessions import DeletedSession, UserSession
from bff_sessions.contract.text import check_text

__all__ = ["ANY", "AnyType", "UserSessionsFilter"]


class AnyType(enum.Enum):
    """The type of `ANY`."""

    ANY = "ANY"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = AnyType.ANY
"""In a filter: whatever it is, also when there is none."""


class _Matchable(Protocol):
    """What a filter looks at: a `UserSession`, or a store's own row."""

    @property
    def key(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def issuer(self) -> str | None: ...
    @property
    def subject_id(self) -> str | None: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def user_id(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSessionsFilter:
    """Which sessions: all that is given must match, exactly, to the letter.

    Raises:
        TypeError: if one of them is not a string.
        ValueError: if subject_id, session_id and user_id are all absent or blank, so that
            the filter would match everything; or if a text is one that no session can have.
    """

    subject_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    issuer: str | AnyType | None = ANY
    """A provider; None for sessions without one; `ANY`. Subject and session ids are unique
    for one issuer only: whoever is not an operator gives the exact issuer."""
    partition: str | AnyType = ANY
    """An application; `ANY`, the default, reaches all that share the store."""
    exclude_key: str | None = field(default=None, repr=False)
    """Store key of the one session that is spared."""

    def __post_init__(self) -> None:
        for name in ("subject_id", "session_id", "user_id"):
            value = getattr(self, name)
            if isinstance(value, str) and (not value or value.isspace()):
                object.__setattr__(self, name, None)
            elif value is not None:
                check_text(name, value, max_length=None)
        for name in ("issuer", "partition"):
            if getattr(self, name) is not ANY:
                check_text(name, getattr(self, name), max_length=None)
        if self.partition is None:
            raise TypeError("partition must be a string or ANY: every session has one.")
        if self.subject_id is None and self.session_id is None and self.user_id is None:
            raise ValueError(
                "A filter needs a subject_id, session_id or user_id: "
                "without one it would match every session."
            )

    @classmethod
    def of_session(
        cls, session: UserSession | DeletedSession, exclude_key: str | None = None
    ) -> UserSessionsFilter:
        """What is the same session at the provider, also if it moves to another key meanwhile.

        Raises:
            ValueError: for an anonymous session, which no filter can name.
        """
        return cls(
            issuer=session.issuer,
            subject_id=session.subject_id,
            session_id=session.session_id,
            partition=session.partition,
            exclude_key=exclude_key,
        )

    @classmethod
    def of_subject(cls, session: UserSession, exclude_key: str | None = None) -> UserSessionsFilter:
        """All of that person in that application, and of nobody with the same sub elsewhere.

        Raises:
            ValueError: as of_session().
        """
        return cls(
            issuer=session.issuer,
            subject_id=session.subject_id,
            partition=session.partition,
            exclude_key=exclude_key,
        )

    def matches(self, session: _Matchable) -> bool:
        """Whether `session` is one of those (expired or not)."""
        return (
            (self.subject_id is None or session.subject_id == self.subject_id)
            and (self.session_id is None or session.session_id == self.session_id)
            and (self.user_id is None or session.user_id == self.user_id)
            and (self.issuer is ANY or session.issuer == self.issuer)
            and (self.partition is ANY or session.partition == self.partition)
            and session.key != self.exclude_key
        )
