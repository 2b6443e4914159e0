"""The six verbs of a store, and the correct defaults that are built on them."""

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

    What else a store can do is declared by the classes `UserSessionStoreCleanup`,
    `UserSessionStoreLeases`, `UserSessionStoreDevices` and `UserSessionStoreTransactions`, which it
    inherits too.

    What happens to an expired session before it is cleaned up is for the store to decide: it may
    stay, and take updates, or be forgotten at once. A session may be created or updated with an
    `expires` in the past, which leaves nothing to read.

    Every verb has an ``a…`` twin that runs it in the thread of synchronous code; override a
    twin only where the store is natively asynchronous. Cancelling the awaiting task leaves a
    write complete or absent, never half done. Stores are shared by all threads.

    A key may be any text from outside: of any length, with NUL or a lone surrogate for example. If
    no session has it, the session is missing, and that is never another error.
    """

    def get_ability(self, ability: type[_Ability]) -> _Ability | None:
        """Return this store as one that has `ability`; None if it lacks it.

        Ask this and not isinstance(): a store in front of another one has the abilities of that
        one.
        """
        return self if isinstance(self, ability) else None

    def require_ability(self, ability: type[_Ability]) -> _Ability:
        """Return this store as one that has `ability`.

        Raises:
            AbilityMissing: if it lacks it.
        """
        able = self.get_ability(ability)
        if able is None:
            raise AbilityMissing(type(self), ability)
        return able

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
        """Return the session under `key`; None if there is none or it has expired.

        It may be one that has moved: see `UserSession.is_moved`.
        """

    async def aget_user_session(self, key: str) -> UserSession | None:
        """See get_user_session()."""
        return await sync_to_async(self.get_user_session)(key)

    @abstractmethod
    def create_user_session(self, session: UserSession) -> None:
        """Add `session`.

        Raises:
            SessionExists: if a live session has this key. Whether an expired one counts is for
                the store to decide. Any other fault propagates: when this returns, the session is
                there.
        """

    async def acreate_user_session(self, session: UserSession) -> None:
        """See create_user_session()."""
        await sync_to_async(self.create_user_session)(session)

    @abstractmethod
    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        """Overwrite what `update` holds and return the new version.

        Key and partition never change. An expired session may be missing, or be updated.

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
        """Delete the session. Return whether there was one. Deleting it again does no harm.

        Args:
            on_ending: is called with the session before it is lost, see `OnEnding`.
        """

    async def adelete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """See delete_user_session()."""
        return await sync_to_async(self.delete_user_session)(key, on_ending=on_ending)

    @abstractmethod
    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """Return the live sessions that match, newest renewal first, all at once, with tickets.

        To list sessions, query_user_sessions() needs less memory.
        """

    async def aget_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """See get_user_sessions()."""
        return await sync_to_async(self.get_user_sessions)(filter)

    @abstractmethod
    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        """Delete all that match, and return what this call deleted.

        Each bounded batch is locked, read and deleted in one transaction. Another delete at
        the same time is harmless; nothing that matches is left when the call returns.

        Args:
            on_ending: is called with each batch before it is lost, see `OnEnding`.
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
        return paging.page(with_positions(self.get_user_sessions(filter)))

    async def aquery_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        """See query_user_sessions()."""
        return await sync_to_async(self.query_user_sessions)(filter, cursor=cursor, limit=limit)

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        """Move the session under `key` to ``session.key``, overwrite it, return the new version.

        The old key is worthless from then on. The default takes four steps:

        1. A conditional update of the old session makes it one that `is_moved`, and expires soon.
           Nothing reads or saves it any more.
        2. The new session is created as one that `is_moved`, too.
        3. The old one is deleted. If it is gone, the session was revoked meanwhile, and the new one
           is deleted again.
        4. An update of the new session makes it live. If it is gone, it was revoked meanwhile.

        If the second step fails, the old session is restored. A death between two steps signs the
        user out. It never leaves two live sessions, nor one that was revoked.

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
                # Perhaps it was created all the same. The old one lives again only without it.
                self.delete_user_session(session.key)
            with suppress(SessionChanged, SessionMissing):  # It was revoked.
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
        """Renew a live session without writing its ticket. Return whether there was one.

        Never revives: an expired or ended session stays what it is. The default goes through
        update_user_session() and so counts a version; a store may renew without that.
        """
        while (session := self.get_user_session(key)) is not None and not session.is_moved:
            renewal = UserSessionUpdate.of(replace(session, renewed=renewed, expires=expires))
            try:
                self.update_user_session(key, renewal, if_version=session.version)
            except SessionChanged:
                continue  # The other writer made progress, so this ends.
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
        """Call `callback` once what this thread has written so far is committed.

        Default: at once. See `UserSessionStoreTransactions`.
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
