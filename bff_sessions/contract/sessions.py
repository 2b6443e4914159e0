"""The session as a store keeps it, and what a save and a delete know of it.

Each field is declared once. Whatever lists fields derives them from these classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final, Protocol, TypeAlias

from bff_sessions.contract.text import check_text

__all__ = [
    "DEVICE",
    "MOMENTS",
    "MOVED",
    "UPDATED",
    "DeletedSession",
    "Device",
    "OnEnding",
    "UserSession",
    "UserSessionUpdate",
    "bound_values",
    "is_within_lifetime",
]

MOVED: Final = b"\0moved\0"
"""Begins the ticket of a session that is moving to another key. No encrypted ticket begins so."""
# A move takes a few statements. If it dies, the user is signed out and the rest expires.
_MOVE: Final = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True, slots=True)
class _BoundFields:
    """The ticket, and the fields that it is bound to beside key and partition."""

    issuer: str | None
    """The provider that issued subject_id and session_id; None where there is no provider."""
    subject_id: str | None
    """The ``sub`` claim as the provider issued it; None while no user is signed in."""
    session_id: str | None
    """The ``sid`` claim, or a random one of our own where the provider gives none."""
    user_id: str | None
    """Primary key of Django's user, as text."""
    sign_in_id: str
    """Random name of this sign-in, or of the anonymous session; 32 hexadecimal digits. It stays
    when the session moves to another key. The next sign-in has another one."""
    created: datetime
    """When this identity signed in, or the anonymous session began. Aware, UTC."""
    ticket: bytes = field(repr=False)
    """The encrypted session data; opaque to a store. Empty in a `UserSessionsPage`."""

    @property
    def bound(self) -> tuple[str | int | None, ...]:
        """The values that the ticket is bound to, see bound_values()."""
        return bound_values(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class _SavedFields(_BoundFields):
    """The fields that a save writes."""

    renewed: datetime
    """Last save or renewal. Aware, UTC."""
    expires: datetime | None
    """From this moment on the session is absent; None means never. Aware, UTC."""

    def __post_init__(self) -> None:
        # Runs on every request: accept plain ASCII words without the full check.
        for name, text in zip(_TEXTS, _bound_texts(self), strict=True):
            if text is not None and not (type(text) is str and text.isalnum() and len(text) < 256):
                check_text(name, text)
        for moment in _saved_moments(self):
            if moment is not None and moment.tzinfo is None:
                raise ValueError("created, renewed and expires must be aware datetimes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSession(_SavedFields):
    """One session as a store keeps it."""

    key: str = field(repr=False)
    """The store key, a digest of partition and session key. Never the cookie's value."""
    partition: str
    """Name of the application that the session belongs to."""
    version: int = 1
    """Counts saves: each update adds one."""
    user_agent: str | None = None
    """The browser that last used the session, where a `UserSessionStoreDevices` noted it."""
    address: str | None = None
    """The address that last used the session, or its network."""
    last_seen: datetime | None = None
    """When the session was last used. Aware, UTC."""

    @property
    def public_id(self) -> str:
        """A one-way hash of `sign_in_id`: safe in pages and URLs, and as lasting as the sign-in."""
        digest = hashlib.sha256(b"bff_sessions public id:" + self.sign_in_id.encode())
        return digest.hexdigest()[:32]

    @property
    def is_moved(self) -> bool:
        """Whether this is what a move to another key has left here: readers take it for absent.

        Whoever wants to save the session finds it by its `sign_in_id` under the other key.
        """
        return self.ticket.startswith(MOVED)

    def is_live(self, now: datetime, *, lifetime: timedelta | None = None) -> bool:
        """Return whether the session lives at the moment `now` (aware).

        Args:
            lifetime: since `created`, the most that a session lives in which a user is signed in.
        """
        return not self.is_moved and is_within_lifetime(self, now, lifetime)

    def has_expired(self, now: datetime) -> bool:
        """Return whether `expires` is over at the moment `now` (aware), so that it can go."""
        return self.expires is not None and self.expires <= now

    def moving(self, now: datetime) -> UserSession:
        """Return what stands under either key while the session moves from one to the other."""
        return replace(self, ticket=MOVED + self.ticket, expires=now + _MOVE)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSessionUpdate(_SavedFields):
    """What a save writes; the fields mean what they mean in `UserSession`."""

    @classmethod
    def of(cls, session: UserSession) -> UserSessionUpdate:
        """Return the update that would write everything mutable of `session`."""
        return cls(**{name: getattr(session, name) for name in UPDATED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The browser that uses a session; the fields mean what they mean in `UserSession`."""

    user_agent: str | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedSession(_BoundFields):
    """What a delete removed; the fields mean what they mean in `UserSession`."""

    key: str = field(repr=False)
    partition: str

    @classmethod
    def of(cls, session: UserSession) -> DeletedSession:
        """Return the record of having deleted `session`, with a ticket that opens."""
        values = {f.name: getattr(session, f.name) for f in fields(cls)}
        return cls(**values | {"ticket": session.ticket.removeprefix(MOVED)})


class _Lifetime(Protocol):
    """What decides how long a session lives: a `UserSession`, or a store's own row."""

    @property
    def subject_id(self) -> str | None: ...
    @property
    def created(self) -> datetime: ...
    @property
    def expires(self) -> datetime | None: ...


def is_within_lifetime(session: _Lifetime, now: datetime, lifetime: timedelta | None) -> bool:
    """Return whether `session` has neither expired nor lived for too long."""
    if session.expires is not None and session.expires <= now:
        return False
    return lifetime is None or session.subject_id is None or session.created + lifetime > now


def bound_values(session: _BoundFields) -> tuple[str | int | None, ...]:
    """Return what the ticket of `session` is bound to, so that no field can be altered by itself.

    `created` counts in whole seconds: a dump in JSON keeps no microseconds.
    """
    return (*_bound_texts(session), int(session.created.timestamp()))


OnEnding: TypeAlias = Callable[[Sequence[DeletedSession]], None]
"""What must happen together with a delete.

A store with transactions calls it for each batch, inside the transaction that deletes the batch:
what it writes there and the delete are committed together, or not at all. Any other store calls
it before it deletes the batch: a crash in between may repeat the call, and loses nothing. A store
that tries a transaction again calls it again.

It gets each session as it is deleted, with its ticket, and is not called without sessions. If it
raises, nothing of the batch is deleted, and the error propagates. It is synchronous and may use a
database: an asynchronous verb of your own calls it through ``sync_to_async``.
"""

UPDATED: Final = tuple(f.name for f in fields(UserSessionUpdate))
"""Names of the fields that an update writes."""

MOMENTS: Final = tuple(f.name for f in fields(UserSession) if str(f.type).startswith("datetime"))
"""Names of the fields that hold a datetime."""

DEVICE: Final = (*(f.name for f in fields(Device)), "last_seen")
"""Names of the fields that neither a save nor a move changes."""

_TEXTS: Final = tuple(f.name for f in fields(_BoundFields) if str(f.type).startswith("str"))
_bound_texts: Final = attrgetter(*_TEXTS)
_saved_moments: Final = attrgetter(*(name for name in MOMENTS if name in UPDATED))
