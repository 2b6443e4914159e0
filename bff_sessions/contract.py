"""The contract between the session engine and the place where sessions are kept.

A store is a subclass of `UserSessionStore`; one that can remove expired sessions is a
`UserSessionStoreCleanup` too. The counterparts of ``IUserSessionStore`` and
``IUserSessionStoreCleanup``. Nothing here knows the ORM or the settings.
`bff_sessions.testing.UserSessionStoreTests` checks a store against this page.
"""

from __future__ import annotations

import enum
import hashlib
import heapq
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Protocol, TypeAlias, TypeGuard

from asgiref.sync import sync_to_async

from bff_sessions.cursors import Position, read_cursor, write_cursor
from bff_sessions.exceptions import SessionChanged, SessionMissing

__all__ = [
    "ANY",
    "MAX_TEXT",
    "UPDATED",
    "AnyType",
    "DeletedSession",
    "Device",
    "OnEnding",
    "Paging",
    "UserSession",
    "UserSessionStore",
    "UserSessionStoreCleanup",
    "UserSessionUpdate",
    "UserSessionsFilter",
    "UserSessionsPage",
    "WithoutTickets",
    "bound_values",
    "delete_session",
    "delete_sessions",
    "iterate_user_sessions",
]

# OpenID Connect Core 1.0, 2: sub "MUST NOT exceed 255 ASCII characters in length".
MAX_TEXT: Final = 255


class AnyType(enum.Enum):
    """The type of `ANY`."""

    ANY = "ANY"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = AnyType.ANY
"""In a filter: whatever it is, also when there is none."""


def check_text(name: str, value: object, *, max_length: int | None = MAX_TEXT) -> None:
    """Refuse what some database would refuse, truncate or fold.

    Args:
        max_length: in characters; None for any.

    Raises:
        TypeError: if `value` is neither a string nor None.
        ValueError: if it is blank, too long, or has a character no database can keep.
    """
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, not {type(value).__name__}.")
    if max_length is not None and len(value) > max_length:
        raise ValueError(f"{name} has {len(value)} characters; at most {max_length} can be kept.")
    if not value or value.isspace():
        raise ValueError(f"{name} is blank; give None where there is none.")
    if "\0" in value:
        raise ValueError(f"{name} contains a NUL character.")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name} contains a lone surrogate.")


def can_be_kept(text: str) -> bool:
    """Return whether every database takes `text`: it has neither NUL nor a lone surrogate."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def is_moment(value: object) -> TypeGuard[float]:
    """Whether `value` is a NumericDate (RFC 7519, 2) that every database can keep: before 5138."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value < 100_000_000_000  # type: ignore[operator]


def _check_identity(record: UserSession | UserSessionUpdate) -> None:
    # On the way of every request, so that what is plainly good is told at a glance.
    for name in ("issuer", "subject_id", "session_id", "user_id", "sign_in_id"):
        value = getattr(record, name)
        if value is not None and not (type(value) is str and value.isalnum() and len(value) < 256):
            check_text(name, value)
    for moment in (record.created, record.renewed, record.expires):
        if moment is not None and moment.tzinfo is None:
            raise ValueError("created, renewed and expires must be aware datetimes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSession:
    """One session as a store keeps it."""

    key: str = field(repr=False)
    """The store key, a digest of partition and session key. Never the cookie's value."""
    partition: str
    """Name of the application that the session belongs to."""
    issuer: str | None
    """The provider that issued subject_id and session_id; None where there is no provider."""
    subject_id: str | None
    """The ``sub`` claim as the provider issued it; None while nobody is signed in."""
    session_id: str | None
    """The ``sid`` claim, or a random one of our own where the provider gives none."""
    user_id: str | None
    """Primary key of Django's user, as text."""
    sign_in_id: str
    """Random name of this sign-in, or of the anonymous session; 32 hexadecimal digits. It stays
    when the session moves to another key. The next sign-in has another one."""
    created: datetime
    """When this identity signed in, or the anonymous session began. Aware, UTC."""
    renewed: datetime
    """Last save or renewal. Aware, UTC."""
    expires: datetime | None
    """From this moment on the session is absent; None means never. Aware, UTC."""
    ticket: bytes = field(repr=False)
    """The encrypted session data; opaque to a store. Empty in a `UserSessionsPage`."""
    version: int = 1
    """Counts saves: each update adds one."""
    user_agent: str | None = None
    """With what it was last used, if `UserSessionStore.note_device()` was told."""
    address: str | None = None
    """From where, an address or its network."""
    last_seen: datetime | None = None
    """When. Aware, UTC."""

    def __post_init__(self) -> None:
        _check_identity(self)

    @property
    def public_id(self) -> str:
        """A one-way hash of `sign_in_id`: safe in pages and URLs, and as lasting as the sign-in."""
        digest = hashlib.sha256(b"bff_sessions public id:" + self.sign_in_id.encode())
        return digest.hexdigest()[:32]

    @property
    def bound(self) -> tuple[str | int | None, ...]:
        """What the ticket is bound to beside key and partition, see bound_values()."""
        return bound_values(self)

    @property
    def is_moved(self) -> bool:
        """Return whether this is what a move to another key has left here."""
        return self.ticket.startswith(b"\0moved\0")

    def is_live(self, now: datetime) -> bool:
        """Whether the session has not expired at the moment `now` (aware)."""
        return self.expires is None or self.expires > now


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSessionUpdate:
    """What a save writes; the fields mean what they mean in `UserSession`."""

    issuer: str | None
    subject_id: str | None
    session_id: str | None
    user_id: str | None
    sign_in_id: str
    created: datetime
    renewed: datetime
    expires: datetime | None
    ticket: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_identity(self)

    @classmethod
    def of(cls, session: UserSession) -> UserSessionUpdate:
        """The update that would write everything mutable of `session`."""
        return cls(**{name: getattr(session, name) for name in UPDATED})


UPDATED: Final = tuple(f.name for f in fields(UserSessionUpdate))
"""Names of the fields that an update writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """With what a session was used; the fields mean what they mean in `UserSession`."""

    user_agent: str | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedSession:
    """What a delete really removed; the fields mean what they mean in `UserSession`."""

    key: str = field(repr=False)
    partition: str
    issuer: str | None
    subject_id: str | None
    session_id: str | None
    user_id: str | None
    sign_in_id: str
    created: datetime
    ticket: bytes = field(repr=False)

    @classmethod
    def of(cls, session: UserSession) -> DeletedSession:
        """The record of having deleted `session`."""
        return cls(**{f.name: getattr(session, f.name) for f in fields(cls)})

    @property
    def bound(self) -> tuple[str | int | None, ...]:
        """What the ticket is bound to beside key and partition, see bound_values()."""
        return bound_values(self)


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


def bound_values(session: UserSession | DeletedSession) -> tuple[str | int | None, ...]:
    """Return what the ticket of `session` is bound to, so that nobody can alter it by itself.

    `created` counts in whole seconds: a dump in JSON keeps no microseconds.
    """
    return (
        session.issuer,
        session.subject_id,
        session.session_id,
        session.user_id,
        session.sign_in_id,
        int(session.created.timestamp()),
    )


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


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSessionsPage:
    """Some of the sessions that match a filter. Lists carry no tickets."""

    sessions: list[UserSession]
    """Each with an empty ticket."""
    next_cursor: str | None
    """What the next call of query_user_sessions() continues from; None on the last page."""


class Paging:
    """The arguments of query_user_sessions(), checked, and the page that they ask for.

    Args:
        store: a name for the store; a cursor of another store is refused.
        cursor: where the previous page ended; None for the first page.
        limit: the most sessions on the page.

    Raises:
        ValueError: if `cursor` is not a cursor of this store, or `limit` is not 1 to 1,000.
    """

    def __init__(self, store: str, cursor: str | None, limit: int) -> None:
        if limit not in range(1, 1001):
            raise ValueError(f"limit must be a whole number from 1 to 1,000; it is {limit!r}.")
        self._store = store
        self._limit = limit
        self.after = None if cursor is None else read_cursor(store, cursor)
        """The position after which the page begins; None for the first page."""

    @property
    def rows(self) -> int:
        """The sessions to read: one more than the page shows says whether another page follows."""
        return self._limit + 1

    def page(self, found: Iterable[tuple[Position, UserSession]]) -> UserSessionsPage:
        """Return the newest of `found` that follow the cursor, in order and without tickets."""
        following = (one for one in found if self.after is None or one[0] < self.after)
        newest = heapq.nlargest(self.rows, following, key=lambda one: one[0])
        shown = newest[: self._limit]
        has_more = len(newest) > len(shown)
        return UserSessionsPage(
            sessions=[replace(session, ticket=b"") for _, session in shown],
            next_cursor=write_cursor(self._store, shown[-1][0]) if has_more else None,
        )


class UserSessionStore(ABC):
    """Keeps sessions. Implement the six verbs; the others have a correct default.

    Every verb has an ``a…`` twin that runs it in the thread of synchronous code; override a
    twin only where the store is natively asynchronous. Cancelling the awaiting task leaves a
    write complete or absent, never half done. Stores are shared by all threads.

    A key may be any text from outside, with NUL or a lone surrogate for example. If it is no key of
    a session, there is no such session: that is never another error.
    """

    @property
    def scope(self) -> str:
        """Tells apart the places between which one store instance switches.

        A multi-tenant site may lead one store to another database or schema with each request.
        What was read in one scope is not served in another: the cache in front of a store binds
        its copies to the scope in which it read them. Override this if your store switches. It
        is read with every load, and must not run a statement. Default: one place.
        """
        return ""

    @abstractmethod
    def get_user_session(self, key: str) -> UserSession | None:
        """The session under `key`; None where there is none or it has expired."""

    async def aget_user_session(self, key: str) -> UserSession | None:
        """See get_user_session()."""
        return await sync_to_async(self.get_user_session)(key)

    @abstractmethod
    def create_user_session(self, session: UserSession) -> None:
        """Add `session`.

        Raises:
            SessionExists: if its key is there already, expired or not. Any other fault of the
                store propagates: when this returns, the session is there.
        """

    async def acreate_user_session(self, session: UserSession) -> None:
        """See create_user_session()."""
        await sync_to_async(self.create_user_session)(session)

    @abstractmethod
    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        """Overwrite what `update` holds and return the new version.

        Works while the session exists, expired or not; key and partition never change.

        Args:
            if_version: write only if the session still has this version.

        Raises:
            SessionMissing: if there is no such session. It is never created again.
            SessionChanged: if its version is not `if_version`.
        """

    async def aupdate_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        """See update_user_session()."""
        return await sync_to_async(self.update_user_session)(key, update, if_version=if_version)

    @abstractmethod
    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """Remove the session, expired or not. Whether there was one to remove.

        Args:
            on_ending: is called with the session before it is lost, see `OnEnding`.
        """

    async def adelete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """See delete_user_session()."""
        return await sync_to_async(delete_session)(self, key, on_ending)

    @abstractmethod
    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """The live sessions that match, newest renewal first, all at once and with tickets.

        To list sessions, query_user_sessions() needs less memory.
        """

    async def aget_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """See get_user_sessions()."""
        return await sync_to_async(self.get_user_sessions)(filter)

    @abstractmethod
    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        """Remove all that match, expired or not, and return what this call removed.

        Each bounded batch is locked, read and deleted in one transaction. Another delete at
        the same time is harmless; nothing that matches is left when the call returns.

        Args:
            on_ending: is called with each batch before it is lost, see `OnEnding`.
        """

    async def adelete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        """See delete_user_sessions()."""
        return await sync_to_async(delete_sessions)(self, filter, on_ending)

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        """Return a page of the live sessions that match, newest sign-in first, without tickets.

        Follow `next_cursor` until it is None to see every session that lives meanwhile exactly
        once. It does not matter which sessions begin, end, are renewed or move to another key. A
        session that another identity signs in to counts as a new one.

        The default calls get_user_sessions() for each page, and so reads all tickets.

        Args:
            cursor: the `next_cursor` of the page before; None for the first page. It holds no key
                and no secret, so that it may stand in a URL.
            limit: the most sessions on the page, 1 to 1,000.

        Raises:
            ValueError: if `cursor` is not one of this store, or `limit` is out of range.
        """
        paging = Paging(f"{type(self).__module__}.{type(self).__qualname__}", cursor, limit)
        return paging.page(_in_order(self.get_user_sessions(filter)))

    async def aquery_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        """See query_user_sessions()."""
        return await sync_to_async(self.query_user_sessions)(filter, cursor=cursor, limit=limit)

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        """Move the session under `key` to ``session.key``, overwrite it, return the new version.

        The old key is worthless from then on. Default: a conditional update of the old session
        is the gate, and lets it expire, so that nobody saves there what would be lost; then
        create the new one and delete the old. If that delete finds nothing, the session was
        revoked meanwhile, and the new one is deleted again. The default takes an expired
        session for a missing one.

        Raises:
            SessionMissing, SessionChanged: as update_user_session().
            SessionExists: if ``session.key`` is taken.
        """
        old = self.get_user_session(key)
        if old is None:
            raise SessionMissing
        if old.version != if_version:
            raise SessionChanged
        # The old ticket stays in the old row: the new one is bound to the new key.
        gate = UserSessionUpdate.of(replace(old, expires=datetime.now(UTC)))
        version = self.update_user_session(key, gate, if_version=if_version)
        try:
            self.create_user_session(replace(session, version=version))
        except BaseException:
            self.update_user_session(key, UserSessionUpdate.of(old), if_version=version)
            raise
        if not self.delete_user_session(key):
            self.delete_user_session(session.key)
            raise SessionMissing
        return version

    async def arekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        """See rekey_user_session()."""
        return await sync_to_async(self.rekey_user_session)(key, session, if_version=if_version)

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        """Write `session` over the one that the caller has read, and return the new version.

        What the engine saves with. Default: update_user_session(), or rekey_user_session() where
        `session` has another key. A store may write no more than what differs, which spares some
        databases the work on indexes.

        Raises:
            SessionMissing, SessionChanged: as update_user_session() at the version of `read`.
            SessionExists: if ``session.key`` is another one, and taken.
        """
        if session.key != read.key:
            return self.rekey_user_session(read.key, session, if_version=read.version)
        update = UserSessionUpdate.of(session)
        return self.update_user_session(read.key, update, if_version=read.version)

    async def aoverwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        """See overwrite_user_session()."""
        return await sync_to_async(self.overwrite_user_session)(read, session)

    def touch_user_session(self, key: str, *, renewed: datetime, expires: datetime | None) -> bool:
        """Renew a live session without touching its ticket. Whether it was there.

        Never revives: an expired or ended session stays what it is. The default goes through
        update_user_session() and so counts a version; a store may renew without that.
        """
        while (session := self.get_user_session(key)) is not None:
            renewal = UserSessionUpdate.of(replace(session, renewed=renewed, expires=expires))
            try:
                self.update_user_session(key, renewal, if_version=session.version)
            except SessionChanged:
                continue  # Whoever changed it made progress: this ends.
            except SessionMissing:
                break
            return True
        return False

    async def atouch_user_session(
        self, key: str, *, renewed: datetime, expires: datetime | None
    ) -> bool:
        """See touch_user_session()."""
        return await sync_to_async(self.touch_user_session)(key, renewed=renewed, expires=expires)

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        """Lease the live session under `key` to `owner`. Whether `owner` has it from now on.

        A lease keeps out other leases and nothing else, and ends by itself. It is no lock of a
        row: it is one conditional write, committed at once, and moves with the session to
        another key. The default does not know how to.

        Args:
            owner: who wants it, at most 64 characters; who has it already has it for longer.
            seconds: when it ends, unless it is released.

        Raises:
            SessionMissing: if there is no such session, or it has expired.
            RuntimeError: inside a transaction, which others would not see before its end.
            NotImplementedError: if the store has no leases.
        """
        raise NotImplementedError(f"{type(self).__name__} has no leases.")

    async def aacquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        """See acquire_lease()."""
        return await sync_to_async(self.acquire_lease)(key, owner, seconds)

    def release_lease(self, key: str, owner: str) -> bool:
        """End the lease of `owner`. Whether it was still there."""
        raise NotImplementedError(f"{type(self).__name__} has no leases.")

    async def arelease_lease(self, key: str, owner: str) -> bool:
        """See release_lease()."""
        return await sync_to_async(self.release_lease)(key, owner)

    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        """Keep beside a live session when it was last used, and with what. Whether that was done.

        Neither a save nor a renewal: ticket, version and expiry stay, and so does what is kept
        here when the session is saved or moves to another key. Never creates or revives. The
        default keeps nothing.

        Args:
            if_seen: ``last_seen`` as it was read: of many at the same time one writes.
            device: None leaves what is kept, as it has not changed.
        """
        return False

    async def anote_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        """See note_device()."""
        return await sync_to_async(self.note_device)(key, seen=seen, if_seen=if_seen, device=device)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once what this thread has written so far is committed.

        Default: at once. A store that takes part in the caller's transactions waits for their
        commit, and drops the callback if they are rolled back.
        """
        callback()

    async def aon_commit(self, callback: Callable[[], None]) -> None:
        """See on_commit()."""
        await sync_to_async(self.on_commit)(callback)


def iterate_user_sessions(
    store: UserSessionStore, filter: UserSessionsFilter
) -> Iterator[UserSession]:
    """Yield all live sessions that match, as query_user_sessions() does, in bounded memory."""
    cursor = None
    while True:
        page = store.query_user_sessions(filter, cursor=cursor, limit=500)
        yield from page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return


def _in_order(sessions: Iterable[UserSession]) -> Iterator[tuple[Position, UserSession]]:
    """Yield each session with its position, for a store that numbers none."""
    for session in sessions:
        yield Position(session.created, session.public_id.encode()), session


def delete_session(store: UserSessionStore, key: str, on_ending: OnEnding | None) -> bool:
    """Call ``store.delete_user_session()``, whether or not this store knows `OnEnding`.

    For one that does not, `on_ending` is called with what the store has, and then it deletes.
    """
    if on_ending is None:
        return store.delete_user_session(key)
    if _knows_on_ending(type(store).delete_user_session):
        return store.delete_user_session(key, on_ending=on_ending)
    session = store.get_user_session(key)
    if session is not None:
        on_ending([DeletedSession.of(session)])
    return store.delete_user_session(key)


def delete_sessions(
    store: UserSessionStore, filter: UserSessionsFilter, on_ending: OnEnding | None
) -> list[DeletedSession]:
    """Call ``store.delete_user_sessions()``, see delete_session()."""
    if on_ending is None:
        return store.delete_user_sessions(filter)
    if _knows_on_ending(type(store).delete_user_sessions):
        return store.delete_user_sessions(filter, on_ending=on_ending)
    sessions = store.get_user_sessions(filter)
    if sessions:
        on_ending([DeletedSession.of(session) for session in sessions])
    return store.delete_user_sessions(filter)


@cache
def _knows_on_ending(verb: Callable[..., Any]) -> bool:
    parameters = inspect.signature(verb).parameters.values()
    return any(p.name == "on_ending" or p.kind is p.VAR_KEYWORD for p in parameters)


class WithoutTickets:
    """An `on_deleted` that looks at no ticket, which are most of a row: a store need not read them.

    Args:
        on_deleted: is called with what this is called with.
    """

    def __init__(self, on_deleted: Callable[[Sequence[DeletedSession]], None]) -> None:
        self._on_deleted = on_deleted

    def __call__(self, deleted: Sequence[DeletedSession], /) -> None:
        self._on_deleted(deleted)


class UserSessionStoreCleanup(ABC):
    """What a store that can remove its expired sessions implements beside `UserSessionStore`."""

    @abstractmethod
    def delete_expired_sessions(
        self,
        *,
        batch_size: int = 10_000,
        max_seconds: float | None = None,
        sleep: float | None = None,
        partition: str | AnyType = ANY,
        dry_run: bool = False,
        on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
        on_ending: OnEnding | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Remove sessions whose time is over, in bounded batches, and return how many.

        A live session is never removed, also not one renewed while this runs. Several may run
        at once.

        Args:
            batch_size: sessions in one transaction at most, 1 to 10,000; fewer where they take
                long.
            max_seconds: begin no batch later than this many seconds after the start.
            sleep: seconds between two batches; None rests in proportion to what the last one took.
            partition: one application only.
            dry_run: remove nothing; the count is what would go.
            on_deleted: gets what each batch removed, after its commit; with empty tickets,
                perhaps, if it is a `WithoutTickets`.
            on_ending: is called with each batch before it is lost, see `OnEnding`.
            should_stop: asked before each batch and while resting; True ends the work.
        """

    async def adelete_expired_sessions(
        self,
        *,
        batch_size: int = 10_000,
        max_seconds: float | None = None,
        sleep: float | None = None,
        partition: str | AnyType = ANY,
        dry_run: bool = False,
        on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
        on_ending: OnEnding | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """See delete_expired_sessions()."""
        return await sync_to_async(self.delete_expired_sessions)(
            batch_size=batch_size,
            max_seconds=max_seconds,
            sleep=sleep,
            partition=partition,
            dry_run=dry_run,
            on_deleted=on_deleted,
            on_ending=on_ending,
            should_stop=should_stop,
        )
