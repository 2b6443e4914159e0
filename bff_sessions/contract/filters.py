"""Filters: which sessions a verb lists or deletes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Protocol

from bff_sessions.contract.sessions import DeletedSession, UserSession
from bff_sessions.contract.text import check_text


class AnyType(enum.Enum):
    """The type of `ANY`."""

    ANY = "ANY"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = AnyType.ANY
"""In a filter: any value, also None."""


class _Matchable(Protocol):
    """The fields that a filter compares: of a `UserSession`, or of a store's own row."""

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
    """A filter that selects sessions. Every criterion must match exactly.

    Raises:
        TypeError: if a criterion is not a string.
        ValueError: if subject_id, session_id and user_id are all absent or blank, because the
            filter would match every session. Also if no session can have one of the texts.
    """

    subject_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    issuer: str | AnyType | None = ANY
    """A provider; None for sessions without one; `ANY`. Subjects and session IDs are unique
    within one issuer only: give the exact issuer, except where an operator decides."""
    partition: str | AnyType = ANY
    """An application; `ANY`, the default, selects all that share the store."""
    exclude_key: str | None = field(default=None, repr=False)
    """The store key of one session that does not match."""

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
            raise TypeError("partition must be a string or ANY, because every session has one.")
        if self.subject_id is None and self.session_id is None and self.user_id is None:
            raise ValueError(
                "A filter must have a subject_id, session_id or user_id: "
                "without one it would match every session."
            )

    @classmethod
    def of_session(
        cls, session: UserSession | DeletedSession, exclude_key: str | None = None
    ) -> UserSessionsFilter:
        """Return the filter of the same session at the provider, under any store key.

        Raises:
            ValueError: if the session is anonymous: no filter can name it.
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
        """Return the filter of all sessions that the subject has in the application.

        The issuer is exact: another provider's subject with the same `sub` does not match.

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
        """Return whether `session` matches, expired or not."""
        return (
            (self.subject_id is None or session.subject_id == self.subject_id)
            and (self.session_id is None or session.session_id == self.session_id)
            and (self.user_id is None or session.user_id == self.user_id)
            and (self.issuer is ANY or session.issuer == self.issuer)
            and (self.partition is ANY or session.partition == self.partition)
            and session.key != self.exclude_key
        )
