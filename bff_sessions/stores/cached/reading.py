"""Reads: from the cache if its entry may be served, else from the store."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from bff_sessions.contract import UserSession, UserSessionStore
from bff_sessions.measuring import Counted, count
from bff_sessions.stores.cached.backend import Cache
from bff_sessions.stores.cached.entries import (
    Entry,
    entry_name,
    names_of,
    open_entry,
    seal_entry,
)
from bff_sessions.stores.cached.invalidation import Marks, is_closed


class Reader:
    """Reads sessions, and fills the cache with those that it read from the store."""

    def __init__(self, inner: UserSessionStore, cache: Cache, marks: Marks) -> None:
        self._inner = inner
        self._cache = cache
        self._marks = marks
        self._max_stale = marks.max_stale
        # By scope and key: a tenant that is a copy of another has the same keys.
        self._distrusted: dict[tuple[str, str], float] = {}

    def read(self, key: str) -> UserSession | None:
        """See UserSessionStore.get_user_session()."""
        scope = self._inner.scope
        # In this order: a cache that reads them one by one must not return an older mark.
        names = names_of(key)
        is_trusted = not (self._marks.must_read_store(key) or self._is_distrusted(scope, key))
        found = self._cache.get(names) if is_trusted else None
        if found is None:
            count(Counted.CACHE_READS, "fault")
            return self._inner.get_user_session(key)
        sealed, mark, tombstone = map(found.get, names)
        if tombstone is not None or is_closed(mark):
            count(Counted.CACHE_READS, "miss")
            return self._inner.get_user_session(key)
        entry = None if sealed is None else open_entry(sealed, key, scope)
        if entry is not None and self._is_good(entry, mark):
            count(Counted.CACHE_READS, "hit")
            return entry.session
        count(Counted.CACHE_READS, "miss")
        moment = time.time()
        session = self._inner.get_user_session(key)
        if session is not None:
            entry = Entry(session=session, mark=mark, moment=moment, scope=scope)
            self._fill(entry)
        return session

    def distrust(self, key: str, seconds: float) -> None:
        """Read `key` from the store for the next `seconds`, whatever the cache has."""
        now = time.monotonic()
        for other, end in list(self._distrusted.items()):
            if end <= now:
                self._distrusted.pop(other, None)
        self._distrusted[self._inner.scope, key] = now + seconds

    def trust(self, key: str) -> None:
        """End what distrust() began."""
        self._distrusted.pop((self._inner.scope, key), None)

    def _is_distrusted(self, scope: str, key: str) -> bool:
        if not self._distrusted:
            return False
        return self._distrusted.get((scope, key), 0.0) > time.monotonic()

    def _is_good(self, entry: Entry, mark: int | None) -> bool:
        age = time.time() - entry.moment
        is_fresh = entry.mark == mark and 0 <= age < self._max_stale
        return is_fresh and entry.session.is_live(datetime.now(UTC))

    def _fill(self, entry: Entry) -> None:
        is_later = False

        def fill() -> None:
            if is_later and entry.mark is not None:
                return  # The transaction's snapshot may be older than the mark.
            now = time.time()
            left = entry.moment + self._max_stale - now
            if entry.session.expires is not None:
                left = min(left, entry.session.expires.timestamp() - now)
            # A clock that was set back would make the entry fresh again later.
            if left >= 1 and now >= entry.moment:
                name = entry_name(entry.session.key)
                self._cache.put(name, seal_entry(entry), int(left))

        # The caller's own transaction may have written the session: others must not see it before
        # the commit.
        self._inner.on_commit(fill)
        is_later = True
