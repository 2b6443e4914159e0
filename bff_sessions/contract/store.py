"""The six verbs of a store, and correct defaults for the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from asgiref.sync import sync_to_async

from bff_sessions.contract.exceptions import (
    AbilityMissing,
    SessionChanged,
    SessionExists,
    SessionMissing,
)
from bff_sessions.contract.filters import UserSessionsFilter
from bff_sessions.contract.paging import Paging, UserSessionsPage, with_positions
from bff_sessions.contract.sessions import (
    DEVICE,
    DeletedSession,
    OnEnding,
    UserSession,
    UserSessionUpdate,
)

__all__ = ["UserSessionStore", "iterate_user_sessions"]

_Ability = TypeVar("_Ability")


class UserSessionStore(ABC):
    """Stores sessions. Implement the six abstract verbs; the others have a correct default.

    A store declares other abilities by the classes that it inherits: `UserSessionStoreCleanup`,
    `UserSessionStoreLeases`, `UserSessionStoreDevices` and `UserSessionStoreTransactions`.

    The store decides what happens to an expired session before clean-up. It may stay and take
    updates, or the store may forget it at once. A session may be created or updated with an
    `expires` in the past: it cannot be read then.

    Every verb has an ``a…`` twin that runs it in the thread of synchronous code. Override a twin
    only if your store is natively asynchronous. If the awaiting task is cancelled, a write is
    complete or absent, never half done. All threads share one instance of a store.

    A key is the store key of a session, or any text from outside: of any length, with NUL or a
    lone surrogate for example. If no session has it, the session is missing, without another
    error.
    """

    def get_ability(self, ability: type[_Ability]) -> _Ability | None:
        """Return this store as an instance of `ability`; None if it lacks the ability.

        Call this instead of isinstance(): a store in front of another one has the abilities of
        that store.
        """
        return self if isinstance(self, ability) else None

    def require_ability(self, ability: type[_Ability]) -> _Ability:
        """Return this store as an instance of `ability`.

        Raises:
            AbilityMissing: if it lacks the ability.
        """
        able = self.get_ability(ability)
        if able is None:
            raise AbilityMissing(type(self), ability)
        return able

    @property
    def scope(self) -> str:
        """The name of the place that the store reads now, for stores that switch between places.

        In a multi-tenant site one store may read another database or schema in each request. The
        cache in front of a store serves a copy only in the scope in which it was read. Override
        this if your store switches. Every load reads it, so it must not run a statement.
        """
        return ""

    @abstractmethod
    def get_user_session(self, key: str) -> UserSession | None:
        """Return the session under `key`; None if it is missing or has expired.

        The session may be one that has moved, see `UserSession.is_moved`.
        """

    async def aget_user_session(self, key: str) -> UserSession | None:
        """See get_user_session()."""
        return await sync_to_async(self.get_user_session)(key)

    @abstractmethod
    def create_user_session(self, session: UserSession) -> None:
        """Add `session`.

        Raises:
            SessionExists: if a live session has this key. The store decides whether an expired
                one counts. Any other fault propagates: if this returns, the session is stored.
        """

    async def acreate_user_session(self, session: UserSession) -> None:
        """See create_user_session()."""
        await sync_to_async(self.create_user_session)(session)

    @abstractmethod
    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        """Write the fields of `update`, add one to the version, and return the new version.

        All other fields stay. An expired session may be missing or be updated.

        Args:
            key: the key of the session.
            update: the fields to write.
            if_version: write only if the session still has this version.

        Raises:
            SessionMissing: if there is no such session. An update never creates one.
            SessionChanged: if its version is not `if_version`.
        """

    async def aupdate_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        """See update_user_session()."""
        return await sync_to_async(self.update_user_session)(key, update, if_version=if_version)

    @abstractmethod
    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """Delete the session. Return whether there was one. Deleting it again does no harm.

        Args:
            key: the key of the session.
            on_ending: called with the session before its ticket is lost, see `OnEnding`.
        """

    async def adelete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """See delete_user_session()."""
        return await sync_to_async(self.delete_user_session)(key, on_ending=on_ending)

    @abstractmethod
    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """Return all live sessions that match, newest renewal first, with their tickets.

        For lists use query_user_sessions(), which needs less memory.
        """

    async def aget_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """See get_user_sessions()."""
        return await sync_to_async(self.get_user_sessions)(filter)

    @abstractmethod
    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        """Delete all sessions that match, expired or not. Return those that this call deleted.

        When this returns, no session that matches is left. If several deletes run at the same time,
        one of them returns each session. A store with transactions locks, reads and deletes each
        bounded batch in one transaction.

        Args:
            filter: which sessions.
            on_ending: called with each batch before its tickets are lost, see `OnEnding`.
        """

    async def adelete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        """See delete_user_sessions()."""
        return await sync_to_async(self.delete_user_sessions)(filter, on_ending=on_ending)

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        """Return a page of the live sessions that match, newest sign-in first, without tickets.

        Follow `next_cursor` until it is None: that shows every session that lives throughout
        exactly once. Sessions may begin, end, be renewed or move to another key meanwhile. A
        session that another identity signs in to counts as a new one.

        The default calls get_user_sessions() for each page, and so reads all tickets.

        Args:
            filter: which sessions.
            cursor: the `next_cursor` of the previous page; None for the first page. It holds no
                store key and no secret, so that it may stand in a URL.
            limit: the most sessions on the page, 1 to 1,000.

        Raises:
            ValueError: if `cursor` is not a cursor of this store, or `limit` is out of range.
        """
        paging = Paging(f"{type(self).__module__}.{type(self).__qualname__}", cursor, limit)
        return paging.page(with_positions(self.get_user_sessions(filter)))

    async def aquery_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        """See query_user_sessions()."""
        return await sync_to_async(self.query_user_sessions)(filter, cursor=cursor, limit=limit)

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        """Move the session from `key` to ``session.key`` and write it. Return the new version.

        Afterwards no session has the old key. The default takes four steps:

        1. A conditional update makes the old session one that `is_moved` and soon expires.
           From then on no request reads or saves it.
        2. It creates the new session, which also `is_moved`.
        3. It deletes the old one. If that finds nothing, the session was revoked meanwhile, and
           the new one is deleted, too.
        4. An update of the new session makes it live. If that finds nothing, the session was
           revoked meanwhile.

        If the second step fails, the default restores the old session. A crash between two steps
        signs the user out. It never leaves two live sessions, nor one that was revoked.

        Args:
            key: the old key.
            session: the session to write. Its version and `DEVICE` fields do not count: the
                stored ones stay, and the version grows by one.
            if_version: move only if the session still has this version.

        Raises:
            SessionMissing, SessionChanged: as update_user_session().
            SessionExists: if ``session.key`` is taken.
        """
        old = self.get_user_session(key)
        if old is None or old.is_moved:
            raise SessionMissing
        if old.version != if_version:
            raise SessionChanged
        now = datetime.now(UTC)
        version = self.update_user_session(
            key, UserSessionUpdate.of(old.moving(now)), if_version=if_version
        )
        recorded = {name: getattr(old, name) for name in DEVICE}
        try:
            self.create_user_session(replace(session.moving(now), version=if_version, **recorded))
        except BaseException as error:
            if not isinstance(error, SessionExists):
                # The new session may exist despite the error: of the two, only one may live.
                self.delete_user_session(session.key)
            with suppress(SessionChanged, SessionMissing):  # The session was revoked meanwhile.
                self.update_user_session(key, UserSessionUpdate.of(old), if_version=version)
            raise
        if not self.delete_user_session(key):
            self.delete_user_session(session.key)
            raise SessionMissing
        return self.update_user_session(session.key, UserSessionUpdate.of(session))

    async def arekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        """See rekey_user_session()."""
        return await sync_to_async(self.rekey_user_session)(key, session, if_version=if_version)

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        """Write `session` over the one that the caller has read, and return the new version.

        The engine saves with this verb. The default calls update_user_session(), or
        rekey_user_session() if `session` has another key. A store may write only the fields that
        differ, which spares some databases the work on indexes.

        Args:
            read: the session as get_user_session() returned it.
            session: the session to write.

        Raises:
            SessionMissing, SessionChanged: as update_user_session() at the version of `read`.
            SessionExists: if ``session.key`` is another key, and taken.
        """
        if session.key != read.key:
            return self.rekey_user_session(read.key, session, if_version=read.version)
        update = UserSessionUpdate.of(session)
        return self.update_user_session(read.key, update, if_version=read.version)

    async def aoverwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        """See overwrite_user_session()."""
        return await sync_to_async(self.overwrite_user_session)(read, session)

    def touch_user_session(self, key: str, *, renewed: datetime, expires: datetime | None) -> bool:
        """Renew a live session without writing its ticket. Return whether there was one.

        This never revives an expired or ended session. The default calls update_user_session()
        and so adds one to the version. A store may renew without that.
        """
        while (session := self.get_user_session(key)) is not None and not session.is_moved:
            renewal = UserSessionUpdate.of(replace(session, renewed=renewed, expires=expires))
            try:
                self.update_user_session(key, renewal, if_version=session.version)
            except SessionChanged:
                continue  # Another writer made progress, so this loop ends.
            except SessionMissing:
                break
            return True
        return False

    async def atouch_user_session(
        self, key: str, *, renewed: datetime, expires: datetime | None
    ) -> bool:
        """See touch_user_session()."""
        return await sync_to_async(self.touch_user_session)(key, renewed=renewed, expires=expires)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after this thread's writes are committed.

        The default calls it at once. See `UserSessionStoreTransactions`.
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
