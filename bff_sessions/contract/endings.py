"""Reasons for which sessions end, and the users and providers that end them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Protocol

from bff_sessions.contract.text import check_text


class EndReason(enum.Enum):
    """Why a session has ended. The values never change, so that they can be stored."""

    SIGNED_OUT = "signed_out"
    """The user has signed out."""
    OTHER_BROWSER = "other_browser"
    """The user has ended it from another browser."""
    OPERATOR = "operator"
    """An operator has ended it, in the admin or by a command."""
    CODE = "code"
    """Code of the project has ended it. This is the default of revoke_sessions()."""
    PROVIDER = "provider"
    """The OpenID Provider has ended it by a logout token."""
    REPLACED = "replaced"
    """The user has signed in again in the same session at the provider, or another identity has
    signed in to the same session here. Both sign-ins may share tokens: some providers end their
    session if one of its refresh tokens is revoked."""
    TOO_MANY = "too_many"
    """A newer sign-in has exceeded BFF_SESSIONS["MAX_SESSIONS_PER_SUBJECT"]."""
    ABSOLUTE_LIFETIME = "absolute_lifetime"
    """It was older than BFF_SESSIONS["ABSOLUTE_LIFETIME"] allows."""
    EXPIRED = "expired"
    """Its user did not use it for too long."""
    REFRESH_REFUSED = "refresh_refused"
    """The provider has refused to refresh its tokens."""
    USER_DEACTIVATED = "user_deactivated"
    """Django's user was deactivated or deleted."""
    SECURITY_EVENT = "security_event"
    """Something happened that makes the sign-in doubtful. The user has a new password, or the
    provider has answered for another subject, for example."""


class ActorKind(enum.Enum):
    """The meaning of the ID of an `Actor`."""

    USER = "user"
    """The primary key of Django's user, as text."""
    SUBJECT = "subject"
    """The ``sub`` of the session's own subject, who has no Django user."""
    PROVIDER = "provider"
    """The issuer of an OpenID Provider."""
    COMMAND = "command"
    """The name of the operating system's user who has run a command, as its environment says."""


class _User(Protocol):
    @property
    def pk(self) -> Any: ...


class _Session(Protocol):
    @property
    def subject_id(self) -> str | None: ...
    @property
    def user_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Actor:
    """The user or provider that has ended a session, in a form that fits into a log or a table."""

    kind: ActorKind
    id: str

    def __post_init__(self) -> None:
        if not isinstance(self.kind, ActorKind):
            raise TypeError(f"kind must be an ActorKind, not {type(self.kind).__name__}.")
        if not isinstance(self.id, str):
            raise TypeError(f"id must be a text, not {type(self.id).__name__}.")
        check_text("id", self.id)

    @classmethod
    def of_user(cls, user: _User) -> Actor:
        """Return the actor for one of Django's users, for example ``request.user``.

        Raises:
            ValueError: if the user is anonymous or not saved.
        """
        if user.pk is None:
            raise ValueError("user must have a primary key.")
        return cls(ActorKind.USER, str(user.pk))

    @classmethod
    def of_session(cls, session: _Session) -> Actor | None:
        """Return the user of `session`; None if no user is signed in to it."""
        if session.user_id is not None:
            return cls(ActorKind.USER, session.user_id)
        if session.subject_id is not None:
            return cls(ActorKind.SUBJECT, session.subject_id)
        return None

    @classmethod
    def of_provider(cls, issuer: str) -> Actor:
        """Return the actor for the OpenID Provider `issuer`."""
        return cls(ActorKind.PROVIDER, issuer)
