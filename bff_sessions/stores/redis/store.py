"""The store: its verbs, each for synchronous and asynchronous callers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TypeVar

from bff_sessions import conf
from bff_sessions.contract import (
    ANY,
    AnyType,
    DeletedSession,
    Detail,
    Device,
    ExpiredBatch,
    OnEnding,
    Paging,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionStoreDevices,
    UserSessionStoreLeases,
    UserSessionStoreRepair,
    UserSessionUpdate,
)
from bff_sessions.contract.paging import with_positions
from bff_sessions.sansio import Steps, run
from bff_sessions.stores.redis import deletes, hints, layout, maintenance, moves, writes
from bff_sessions.stores.redis.inspection import Primary, find_primaries
from bff_sessions.stores.redis.link import Link
from bff_sessions.stores.redis.notices import RedisNotices
from bff_sessions.stores.redis.options import get_redis_options
from bff_sessions.stores.redis.verbs import twins

_Ability = TypeVar("_Ability")


class RedisUserSessionStore(
    UserSessionStore,
    UserSessionStoreLeases,
    UserSessionStoreDevices,
    UserSessionStoreCleanup,
    UserSessionStoreRepair,
    RedisNotices,
):
    """Sessions in Redis or Valkey, see the package. BFF_SESSIONS["REDIS"] says where.

    The asynchronous twins hold no thread, but for an `on_ending`.

    All verbs raise `StoreUnavailable` if the server cannot be reached, and those that delete raise
    `RevocationUnconfirmed` if too few replicas have confirmed.
    """

    def __init__(self) -> None:
        options = get_redis_options()
        revocation = conf.TOKEN_REVOCATION or {}
        keeps_expired = revocation.get("EXPIRED_SESSIONS", False)
        self.options = options
        self._link = Link(options, options.grace if keeps_expired else 0)

    def get_ability(self, ability: type[_Ability]) -> _Ability | None:
        if ability is UserSessionStoreCleanup and not self._link.grace:
            return None  # The server deletes expired sessions.
        return super().get_ability(ability)

    def _get_user_session(self, key: str) -> Steps[UserSession | None]:
        found = yield from self._link.ask("HMGET", self._link.names.session(key), *layout.READ)
        session = layout.read_session(key, found)
        return None if session is None or session.has_expired(datetime.now(UTC)) else session

    get_user_session, aget_user_session = twins(_get_user_session)

    def _create_user_session(self, session: UserSession) -> Steps[None]:
        return writes.create(self._link, session, device=layout.device_of(session))

    create_user_session, acreate_user_session = twins(_create_user_session)

    def _update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> Steps[int]:
        return writes.update(self._link, key, update, if_version)

    update_user_session, aupdate_user_session = twins(_update_user_session)

    def _overwrite_user_session(self, read: UserSession, session: UserSession) -> Steps[int]:
        if session.key != read.key:
            return moves.move(self._link, read.key, session, read.version)
        return writes.update(self._link, read.key, UserSessionUpdate.of(session), read.version)

    overwrite_user_session, aoverwrite_user_session = twins(_overwrite_user_session)

    def _rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> Steps[int]:
        return moves.move(self._link, key, session, if_version)

    rekey_user_session, arekey_user_session = twins(_rekey_user_session)

    def _touch_user_session(
        self,
        key: str,
        *,
        renewed: datetime,
        expires: datetime | None,
        if_version: int | None = None,
    ) -> Steps[bool]:
        return writes.touch(self._link, key, renewed, expires, if_version)

    touch_user_session, atouch_user_session = twins(_touch_user_session)

    def _note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> Steps[bool]:
        return writes.note(self._link, key, seen, if_seen, device)

    note_device, anote_device = twins(_note_device)

    def _acquire_lease(self, key: str, owner: str, seconds: float) -> Steps[bool]:
        return writes.acquire(self._link, key, owner, seconds)

    acquire_lease, aacquire_lease = twins(_acquire_lease)

    def _release_lease(self, key: str, owner: str) -> Steps[bool]:
        return writes.release(self._link, key, owner)

    release_lease, arelease_lease = twins(_release_lease)

    def _delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> Steps[bool]:
        return deletes.delete_session(self._link, key, on_ending)

    delete_user_session, adelete_user_session = twins(_delete_user_session)

    def _delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> Steps[list[DeletedSession]]:
        return deletes.delete_sessions(self._link, filter, on_ending)

    delete_user_sessions, adelete_user_sessions = twins(_delete_user_sessions)

    def _get_user_sessions(self, filter: UserSessionsFilter) -> Steps[list[UserSession]]:
        found = yield from self._find(filter, with_tickets=True)
        return sorted(found, key=lambda session: session.renewed, reverse=True)

    get_user_sessions, aget_user_sessions = twins(_get_user_sessions)

    def _query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> Steps[UserSessionsPage]:
        paging = Paging("redis", cursor, limit)
        found = yield from self._find(filter, with_tickets=False)
        return paging.page(with_positions(found))

    query_user_sessions, aquery_user_sessions = twins(_query_user_sessions)

    def _peek_user_sessions(self, keys: Collection[str]) -> Steps[dict[str, UserSession]]:
        found = yield from hints.read(self._link, keys, with_tickets=False)
        now = datetime.now(UTC)
        return {each.key: each for each in found if each is not None and each.is_live(now)}

    peek_user_sessions, apeek_user_sessions = twins(_peek_user_sessions)

    def _find(self, filter: UserSessionsFilter, *, with_tickets: bool) -> Steps[list[UserSession]]:
        keys = yield from hints.find(self._link, filter)
        sessions = yield from hints.read(self._link, keys, with_tickets=with_tickets)
        now = datetime.now(UTC)
        return [
            session
            for session in sessions
            if session is not None and filter.matches(session) and not session.has_expired(now)
        ]

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
        steps = maintenance.delete_expired(self._link, limit, now, partition, on_ending)
        deleted = run(steps)
        return ExpiredBatch(number=len(deleted), sessions=deleted)

    def count_expired_sessions(self, *, partition: str | AnyType = ANY) -> int:
        return run(maintenance.count_expired(self._link, datetime.now(UTC), partition))

    def find_primaries(self) -> dict[str, Primary]:
        """Return the servers that take writes by their addresses, for system checks."""
        return find_primaries(self._link)

    def finish_deletes(self, on_ending: OnEnding | None) -> list[DeletedSession]:
        return run(maintenance.finish_deletes(self._link, on_ending))

    def reindex_sessions(self) -> int:
        return maintenance.reindex(self._link)
