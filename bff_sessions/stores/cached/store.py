"""The store: calls the store behind it, and invalidates entries of the cache."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeVar

from bff_sessions import conf
from bff_sessions.conf.rules import SettingInvalid
from bff_sessions.contract import (
    ANY,
    AnyType,
    DeletedSession,
    Detail,
    Device,
    ExpiredBatch,
    OnEnding,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionStoreDevices,
    UserSessionStoreLeases,
    UserSessionStoreRepair,
    UserSessionStoreTransactions,
    UserSessionUpdate,
    iterate_user_sessions,
)
from bff_sessions.contract.pacing import Pace
from bff_sessions.stores import load_store_class
from bff_sessions.stores.cached.backend import Cache
from bff_sessions.stores.cached.invalidation import Marks
from bff_sessions.stores.cached.reading import Reader
from bff_sessions.stores.cached.writing import Writer

_Ability = TypeVar("_Ability")


class CachedUserSessionStore(
    UserSessionStoreTransactions,
    UserSessionStoreLeases,
    UserSessionStoreDevices,
    UserSessionStoreCleanup,
    UserSessionStoreRepair,
    UserSessionStore,
):
    """A cache of Django's in front of another store. It has the abilities of that store.

    Its twins run in the thread of synchronous code: not every cache may be used elsewhere.

    Args:
        inner: the store of the sessions; None means BFF_SESSIONS["CACHED_STORE"].
        cache: an alias in settings.CACHES; None means BFF_SESSIONS["CACHE"].
        max_stale: seconds; None means BFF_SESSIONS["MAX_STALE"].
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

    def get_ability(self, ability: type[_Ability]) -> _Ability | None:
        if self._inner.get_ability(ability) is None:
            return None
        return super().get_ability(ability)

    def require_ability(self, ability: type[_Ability]) -> _Ability:
        self._inner.require_ability(ability)  # The error must name the inner store.
        return super().require_ability(ability)

    @property
    def inner(self) -> UserSessionStore:
        """The store of the sessions, behind the cache."""
        return self._inner

    @property
    def using(self) -> str:
        return self._inner.require_ability(UserSessionStoreTransactions).using

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

    def peek_user_sessions(self, keys: Collection[str]) -> dict[str, UserSession]:
        return self._inner.peek_user_sessions(keys)

    def create_user_session(self, session: UserSession) -> None:
        self._inner.create_user_session(session)

    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        with self._writer.changing(key) as changed:
            version = self._inner.update_user_session(key, update, if_version=if_version)
            changed()
        return version

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        if session.key != read.key:
            with self._writer.moving(read.key):
                return self._inner.overwrite_user_session(read, session)
        with self._writer.changing(read.key) as changed:
            version = self._inner.overwrite_user_session(read, session)
            changed()
        return version

    def touch_user_session(
        self,
        key: str,
        *,
        renewed: datetime,
        expires: datetime | None,
        if_version: int | None = None,
    ) -> bool:
        with self._writer.changing(key) as changed:
            touched = self._inner.touch_user_session(
                key, renewed=renewed, expires=expires, if_version=if_version
            )
            if touched:
                changed()
        return touched

    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        devices = self._inner.require_ability(UserSessionStoreDevices)
        noted = devices.note_device(key, seen=seen, if_seen=if_seen, device=device)
        if noted:
            # Otherwise each request that reads the old entry would record its use again.
            self._writer.changed(key)
        return noted

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        with self._writer.moving(key):
            return self._inner.rekey_user_session(key, session, if_version=if_version)

    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        with self._writer.ending([key]):
            return self._inner.delete_user_session(key, on_ending=on_ending)

    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        keys = {session.key for session in iterate_user_sessions(self._inner, filter)}
        # Invalidate also those that are not returned: a batch may fail after others are deleted.
        with self._writer.ending(keys):
            deleted = self._inner.delete_user_sessions(filter, on_ending=on_ending)
            keys.update(session.key for session in deleted)
        return deleted

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        leases = self._inner.require_ability(UserSessionStoreLeases)
        with self._writer.doubting(key):
            acquired = leases.acquire_lease(key, owner, seconds)
        if acquired:
            # The holder must see what the last one saved, even if its mark was not written.
            self._reader.distrust(key, seconds)
        return acquired

    def release_lease(self, key: str, owner: str) -> bool:
        leases = self._inner.require_ability(UserSessionStoreLeases)
        released = leases.release_lease(key, owner)
        if released:
            self._reader.trust(key)
        return released

    @property
    def cleanup_pace(self) -> Pace:
        return self._inner.require_ability(UserSessionStoreCleanup).cleanup_pace

    def delete_expired_batch(
        self,
        limit: int,
        *,
        now: datetime,
        since: datetime | None = None,
        partition: str | AnyType = ANY,
        detail: Detail = Detail.TICKETS,
        on_ending: OnEnding | None = None,
    ) -> ExpiredBatch:
        batch = self._inner.require_ability(UserSessionStoreCleanup).delete_expired_batch(
            limit,
            now=now,
            since=since,
            partition=partition,
            # Their entries must be invalidated.
            detail=max(detail, Detail.WITHOUT_TICKETS),
            on_ending=on_ending,
        )
        if batch.number:
            self._writer.ended([session.key for session in batch.sessions])
        return batch

    def count_expired_sessions(self, *, partition: str | AnyType = ANY) -> int:
        cleanup = self._inner.require_ability(UserSessionStoreCleanup)
        return cleanup.count_expired_sessions(partition=partition)

    def has_expired_before(self, moment: datetime) -> bool:
        return self._inner.require_ability(UserSessionStoreCleanup).has_expired_before(moment)

    def finish_deletes(self, on_ending: OnEnding | None) -> list[DeletedSession]:
        # Their entries were invalidated before the deletes began.
        return self.inner.require_ability(UserSessionStoreRepair).finish_deletes(on_ending)

    def reindex_sessions(self) -> int:
        return self.inner.require_ability(UserSessionStoreRepair).reindex_sessions()

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._inner.on_commit(callback)


def load_inner_class(path: str) -> type[UserSessionStore]:
    """Return the store class at the dotted `path`.

    Raises:
        SettingInvalid: if it cannot be imported, is not a complete `UserSessionStore`, or is a
            `CachedUserSessionStore` itself.
    """
    store_class = load_store_class(path, "CACHED_STORE")
    if issubclass(store_class, CachedUserSessionStore):
        raise SettingInvalid(
            conf.place_of("CACHED_STORE"), f"must be a store without a cache; it is {path!r:.120}"
        )
    return store_class
