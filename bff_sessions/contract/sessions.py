"""The fields of a session, of a save and of a delete.

Each field is declared once. All code that lists fields derives them from these classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from operator import attrgetter
from types import SimpleNamespace
from typing import Final, Protocol, TypeAlias

from bff_sessions.contract.endings import Actor, EndReason
from bff_sessions.contract.text import check_text

MOVED: Final = b"\0moved\0"
"""Begins the ticket of a session that is moving to another key. No encrypted ticket has it."""
# A move takes a few statements. If its process dies, the old session expires after this time.
_MOVE_TIMEOUT: Final = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True, slots=True)
class _BoundFields:
    """The ticket, and the fields that it is bound to beside store key and partition."""

    issuer: str | None
    """The provider that issued subject_id and session_id; None without a provider."""
    subject_id: str | None
    """The ``sub`` claim as the provider issued it; None while no user is signed in."""
    session_id: str | None
    """The ``sid`` claim. If the provider gives none, a random ID of our own that begins with
    "nosid", or with "moved-" if the session has moved here from another engine."""
    user_id: str | None
    """The primary key of Django's user, as text."""
    sign_in_id: str
    """A random ID of this sign-in or anonymous session; 32 hexadecimal digits. It stays the same
    when the session moves to another key. The next sign-in has another one."""
    created: datetime
    """When this identity signed in, or the anonymous session began. Aware, UTC."""
    ticket: bytes = field(repr=False)
    """The encrypted session data; opaque to a store. Empty in a `UserSessionsPage`."""

    @property
    def bound(self) -> tuple[str | int | None, ...]:
        """The values that the ticket is bound to, see bound_values()."""
        return bound_values(self)

    @property
    def public_id(self) -> str:
        """A one-way hash of `sign_in_id`: safe in pages and URLs, the same under every key."""
        digest = hashlib.sha256(b"bff_sessions public id:" + self.sign_in_id.encode())
        return digest.hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class _SavedFields(_BoundFields):
    """The fields that a save writes."""

    renewed: datetime
    """The time of the last save or renewal. Aware, UTC."""
    expires: datetime | None
    """The time at which the session expires; None means never. Aware, UTC."""

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
    """One session in a store."""

    key: str = field(repr=False)
    """The store key, a digest of partition and session key. Never the cookie's value."""
    partition: str
    """The name of the application that the session belongs to."""
    version: int = 1
    """Counts saves: each update adds one."""
    user_agent: str | None = None
    """The browser that last used the session, if a `UserSessionStoreDevices` recorded it."""
    address: str | None = None
    """The address from which the session was last used, or the network of that address."""
    last_seen: datetime | None = None
    """When the session was last used. Aware, UTC."""

    @property
    def is_moved(self) -> bool:
        """True if the session has moved to another key: readers treat this one as absent.

        A request that saves the session finds it by its `sign_in_id` under the other key.
        """
        return self.ticket.startswith(MOVED)

    def is_live(self, now: datetime, *, lifetime: timedelta | None = None) -> bool:
        """Return whether the session is live at `now`.

        Args:
            now: an aware datetime.
            lifetime: the longest time that a signed-in session lives after `created`.
        """
        return not self.is_moved and is_within_lifetime(self, now, lifetime)

    def has_expired(self, now: datetime) -> bool:
        """Return whether the session has expired at `now` (aware), so that it may be deleted."""
        return self.expires is not None and self.expires <= now

    def moving(self, now: datetime) -> UserSession:
        """Return the session to store under either key while it moves from one to the other."""
        return replace(self, ticket=MOVED + self.ticket, expires=now + _MOVE_TIMEOUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSessionUpdate(_SavedFields):
    """The fields that a save writes, with their meaning in `UserSession`."""

    @classmethod
    def of(cls, session: UserSession) -> UserSessionUpdate:
        """Return the update that writes all fields of `session` that a save may change."""
        return cls(**{name: getattr(session, name) for name in UPDATED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The browser that uses a session. Its fields have their meaning in `UserSession`."""

    user_agent: str | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedSession(_BoundFields):
    """A session that was deleted. The fields have their meaning in `UserSession`."""

    key: str = field(repr=False)
    partition: str
    expires: datetime | None
    user_agent: str | None = None
    address: str | None = None
    reason: EndReason | None = None
    """Why it has ended. A store leaves it None: `bff_sessions.revocation` knows it."""
    actor: Actor | None = None
    """The user or provider that has ended it; None if it expired, or if that is not known."""

    def is_live(self, now: datetime, *, lifetime: timedelta | None = None) -> bool:
        """Return whether the session was live at `now`, see UserSession.is_live()."""
        return is_within_lifetime(self, now, lifetime)

    @classmethod
    def of(cls, session: UserSession) -> DeletedSession:
        """Return `session` as a deleted one, with a ticket that opens."""
        values = {name: getattr(session, name) for name in DELETED}
        return cls(**values | {"ticket": session.ticket.removeprefix(MOVED)})


class _Lifetime(Protocol):
    """The fields that decide how long a session lives: of a `UserSession` or a store's row."""

    @property
    def subject_id(self) -> str | None: ...
    @property
    def created(self) -> datetime: ...
    @property
    def expires(self) -> datetime | None: ...


def is_within_lifetime(session: _Lifetime, now: datetime, lifetime: timedelta | None) -> bool:
    """Return whether `session` has not expired, and is not older than `lifetime` allows."""
    if session.expires is not None and session.expires <= now:
        return False
    return lifetime is None or session.subject_id is None or session.created + lifetime > now


def bound_values(session: _BoundFields | SimpleNamespace) -> tuple[str | int | None, ...]:
    """Return the values that the ticket of `session` is bound to, which may have no ticket yet.

    If one of them is altered, the ticket does not open. `created` is in whole seconds: a dump in
    JSON has no microseconds.
    """
    return (*_bound_texts(session), int(session.created.timestamp()))


OnEnding: TypeAlias = Callable[[Sequence[DeletedSession]], None]
"""A function that a store calls with the sessions that a delete ends.

A store with transactions calls it for each batch, inside the transaction that deletes the batch,
so that both are committed or neither is. Any other store calls it before it deletes the batch. A
crash in between may repeat the call, and loses nothing. A store that repeats a transaction repeats
the call.

The function gets each session as it is deleted, with its ticket. The store does not call it without
sessions. If it raises, the store deletes nothing of the batch, and the error propagates. It is
synchronous and may use a database: an asynchronous verb of your own calls it through
``sync_to_async``.
"""

UPDATED: Final = tuple(f.name for f in fields(UserSessionUpdate))
"""The names of the fields that an update writes."""

MOMENTS: Final = tuple(f.name for f in fields(UserSession) if str(f.type).startswith("datetime"))
"""The names of the fields that hold a datetime."""

DELETED: Final = tuple(
    f.name for f in fields(DeletedSession) if f.name in {f.name for f in fields(UserSession)}
)
"""The names of the fields that a deleted session has from its store."""

DEVICE: Final = (*(f.name for f in fields(Device)), "last_seen")
"""The names of the fields that neither a save nor a move changes."""

_TEXTS: Final = tuple(f.name for f in fields(_BoundFields) if str(f.type).startswith("str"))
_bound_texts: Final = attrgetter(*_TEXTS)
_saved_moments: Final = attrgetter(*(name for name in MOMENTS if name in UPDATED))
