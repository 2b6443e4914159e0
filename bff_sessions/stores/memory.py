"""Sessions in the memory of one process: for tests and development."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from bff_sessions.contract import (
    ANY,
    DEVICE,
    UPDATED,
    AnyType,
    DeletedSession,
    Detail,
    Device,
    ExpiredBatch,
    OnEnding,
    Paging,
    Position,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionStoreDevices,
    UserSessionStoreLeases,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing


class InMemoryUserSessionStore(
    UserSessionStore, UserSessionStoreLeases, UserSessionStoreDevices, UserSessionStoreCleanup
):
    """A dictionary with a lock. Other processes do not see it, and a restart empties it."""

    def __init__(self) -> None:
        self._sessions: dict[str, UserSession] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}
        # The number of a session stays when it moves to another key.
        self._numbers: dict[str, int] = {}
        self._new_numbers = itertools.count(1)
        # In another process or after a restart, the same numbers mean other sessions.
        self._name = f"memory:{secrets.token_hex(8)}"
        self._lock = threading.RLock()

    def get_user_session(self, key: str) -> UserSession | None:
        session = self._sessions.get(key)
        return None if session is None or session.has_expired(datetime.now(UTC)) else session

    def create_user_session(self, session: UserSession) -> None:
        with self._lock:
            if session.key in self._sessions:
                raise SessionExists
            self._sessions[session.key] = session
            self._numbers[session.key] = next(self._new_numbers)

    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        with self._lock:
            session = self._get_at(key, if_version)
            changes = {name: getattr(update, name) for name in UPDATED}
            self._sessions[key] = replace(session, **changes, version=session.version + 1)
            return session.version + 1

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        with self._lock:
            old = self._get_at(key, if_version)
            version = old.version + 1
            if session.key != key and session.key in self._sessions:
                raise SessionExists
            del self._sessions[key]
            noted = {name: getattr(old, name) for name in DEVICE}
            self._sessions[session.key] = replace(session, version=version, **noted)
            self._numbers[session.key] = self._numbers.pop(key)
            if key in self._leases:
                self._leases[session.key] = self._leases.pop(key)
            return version

    def touch_user_session(
        self,
        key: str,
        *,
        renewed: datetime,
        expires: datetime | None,
        if_version: int | None = None,
    ) -> bool:
        with self._lock:
            session = self.get_user_session(key)
            if session is None:
                return False
            if if_version not in (None, session.version):
                raise SessionChanged
            self._sessions[key] = replace(session, renewed=renewed, expires=expires)
            return True

    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        with self._lock:
            session = self.get_user_session(key)
            if session is None or session.last_seen != if_seen:
                return False
            changes = {} if device is None else asdict(device)
            self._sessions[key] = replace(session, last_seen=seen, **changes)
            return True

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        with self._lock:
            now = datetime.now(UTC)
            if self.get_user_session(key) is None:
                raise SessionMissing
            holder, until = self._leases.get(key, (owner, now))
            if holder != owner and until > now:
                return False
            self._leases[key] = owner, now + timedelta(seconds=seconds)
            return True

    def release_lease(self, key: str, owner: str) -> bool:
        with self._lock:
            holder, _ = self._leases.get(key, (None, None))
            return holder == owner and self._leases.pop(key, None) is not None

    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        with self._lock:
            session = self._sessions.get(key)
            return session is not None and bool(self._delete([session], on_ending))

    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        now = datetime.now(UTC)
        with self._lock:
            matching = [each for each in self._sessions.values() if filter.matches(each)]
        found = [each for each in matching if not each.has_expired(now)]
        return sorted(found, key=lambda session: session.renewed, reverse=True)

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        paging = Paging(self._name, cursor, limit)
        now = datetime.now(UTC)
        with self._lock:
            return paging.page(
                (Position(session.created, self._numbers[key].to_bytes(8)), session)
                for key, session in self._sessions.items()
                if session.is_live(now) and filter.matches(session)
            )

    def peek_user_sessions(self, keys: Collection[str]) -> dict[str, UserSession]:
        found = map(self.get_user_session, keys)
        live = [session for session in found if session is not None and not session.is_moved]
        return {session.key: replace(session, ticket=b"") for session in live}

    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        with self._lock:
            found = [s for s in self._sessions.values() if filter.matches(s)]
            return self._delete(found, on_ending)

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
        with self._lock:
            expired = [
                session
                for session in self._sessions.values()
                if session.has_expired(now) and partition in (ANY, session.partition)
            ]
            deleted = self._delete(expired[:limit], on_ending)
        return ExpiredBatch(number=len(deleted), sessions=deleted)

    def _delete(
        self, found: Sequence[UserSession], on_ending: OnEnding | None
    ) -> list[DeletedSession]:
        deleted = [DeletedSession.of(session) for session in found]
        if deleted and on_ending is not None:
            on_ending(deleted)
        for session in found:
            del self._sessions[session.key], self._numbers[session.key]
            self._leases.pop(session.key, None)
        return deleted

    def _get_at(self, key: str, if_version: int | None) -> UserSession:
        session = self._sessions.get(key)
        if session is None:
            raise SessionMissing
        if if_version not in (None, session.version):
            raise SessionChanged
        return session
