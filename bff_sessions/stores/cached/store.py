"""The store: verbs of the store behind it, told to the cache in front of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bff_sessions import conf
from bff_sessions.contract import (
    DeletedSession,
    Device,
    OnEnding,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionUpdate,
    delete_session,
    delete_sessions,
    iterate_user_sessions,
)
from bff_sessions.rules import SettingInvalid
from bff_sessions.stores import load_store_class
from bff_sessions.stores.cached.backend import Cache
from bff_sessions.stores.cached.cleanup import CachedCleanup
from bff_sessions.stores.cached.marks import Marks
from bff_sessions.stores.cached.reading import Reader
from bff_sessions.stores.cached.writing import Writer

__all__ = ["CachedUserSessionStore", "load_inner_class"]


class CachedUserSessionStore(UserSessionStore, CachedCleanup):
    """Another store behind a cache of Django's. Its twins run in the thread of synchronous code,
    the only place where every cache may be used.

    Args:
        inner: the store that keeps the sessions; None: what BFF_SESSIONS["CACHED_STORE"] names.
        cache: alias in settings.CACHES; None: BFF_SESSIONS["CACHE"].
        max_stale: seconds; None: BFF_SESSIONS["MAX_STALE"].
    """

    def __init__(
        self,
        inner: UserSessionStore | None = None,
        *,
        cache: str | None = None,
        max_stale: float | None = None,
    ) -> None:
        self._inner = load_inner_class(conf.CACHED_STORE)() if inner is None else inner
        front = Cache(conf.CACHE if cache is None else cache)
        self._marks = Marks(front, conf.MAX_STALE if max_stale is None else max_stale)
        self._reader = Reader(self._inner, front, self._marks)
        self._writer = Writer(self._inner, front, self._marks)

    @property
    def using(self) -> str | None:
        """Alias of the database that holds the sessions; None where that is not for Django."""
        return getattr(self._inner, "using", None)

    @property
    def scope(self) -> str:
        """See UserSessionStore.scope."""
        return self._inner.scope

    def get_user_session(self, key: str) -> UserSession | None:
        return self._reader.read(key)

    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        return self._inner.get_user_sessions(filter)

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        return self._inner.query_user_sessions(filter, cursor=cursor, limit=limit)

    def create_user_session(self, session: UserSession) -> None:
        self._inner.create_user_session(session)

    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        with self._writer.changing(key):
            version = self._inner.update_user_session(key, update, if_version=if_version)
        self._writer.changed(key)
        return version

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        with self._writer.changing(read.key):
            version = self._inner.overwrite_user_session(read, session)
        if session.key == read.key:
            self._writer.changed(read.key)
        else:
            self._writer.ended([read.key])
        return version

    def touch_user_session(self, key: str, *, renewed: datetime, expires: datetime | None) -> bool:
        with self._writer.changing(key):
            touched = self._inner.touch_user_session(key, renewed=renewed, expires=expires)
        if touched:
            self._writer.changed(key)
        return touched

    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        noted = self._inner.note_device(key, seen=seen, if_seen=if_seen, device=device)
        if noted:
            # Or each request that an older copy serves would find that it is time to note this.
            self._writer.changed(key)
        return noted

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        with self._writer.changing(key):
            version = self._inner.rekey_user_session(key, session, if_version=if_version)
        self._writer.ended([key])
        return version

    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        with self._writer.ending([key]):
            return delete_session(self._inner, key, on_ending)

    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        keys = {session.key for session in iterate_user_sessions(self._inner, filter)}
        # Also those that are expected and not returned: a batch may fail after others went.
        with self._writer.ending(keys):
            deleted = delete_sessions(self._inner, filter, on_ending)
            keys.update(session.key for session in deleted)
        return deleted

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        with self._writer.doubting(key):
            acquired = self._inner.acquire_lease(key, owner, seconds)
        if acquired:
            # Who has it must see what the last holder saved, even if the cache was not told.
            self._reader.distrust(key, seconds)
        return acquired

    def release_lease(self, key: str, owner: str) -> bool:
        released = self._inner.release_lease(key, owner)
        if released:
            self._reader.trust(key)
        return released

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._inner.on_commit(callback)


def load_inner_class(path: str) -> type[UserSessionStore]:
    """The store class at the dotted `path`.

    Raises:
        SettingInvalid: if it cannot be imported, is not a complete `UserSessionStore`, or
            is a cached one itself, which would be around itself.
    """
    store_class = load_store_class(path, "CACHED_STORE")
    if issubclass(store_class, CachedUserSessionStore):
        raise SettingInvalid(
            conf.place_of("CACHED_STORE"), f"must be a store without a cache; it is {path!r:.120}"
        )
    return store_class
