"""A cache in front of any other store, which revocation still beats.

Each session has two names in the cache, both made from a digest of its store key. The *entry* is
the session as a reader found it in the store, sealed. The *mark* is what writers leave there:

- no mark: nothing was written lately;
- closed, the tombstone: neither serve from the cache nor write to it, ask the store. It does not
  say "deleted", because the delete may yet be rolled back;
- a number of its own for each write, set when that was committed.

Writers close the mark before they write, and on commit close it again (delete, rekey) or set a
new number (update, touch). Only readers fill, with ``add``: the entry carries the mark that was
there before the store was asked, and the moment at which it was. It is served only beside the
same mark, and only until it is `max_stale` seconds old. One round trip gets both. Why nothing
that has ended or changed is served once the write has returned:

- An entry with the number of a write was read after that commit, and any later write replaces the
  number; in which order late writers set theirs does not matter.
- An entry without a number was read before the mark was set. Marks live longer than `max_stale`,
  so when the mark is gone the entry is too old to be served. They also outlive the longest
  request, which matters where a transaction is shown the past: such a one fills on its commit,
  and only what had no mark.
- Should a mark be lost (the cache was down, flushed, restarted or full), what is served was in
  the store at most `max_stale` seconds ago. That is the one promise that depends on clocks: those
  of the hosts must agree.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.cache import BaseCache, caches
from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.contract import (
    ANY,
    AnyType,
    DeletedSession,
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionMissing, TicketUnreadable
from bff_sessions.protection import protect, unprotect
from bff_sessions.stores import load_store_class

__all__ = ["CachedUserSessionStore"]

logger = logging.getLogger("bff_sessions.cache")

# The format of an entry is part of its name.
_PREFIX = "bff_sessions:1:"
_CLOSED = 0
# Servers end a request after 30 to 60 seconds, unless told otherwise.
_LONGEST_REQUEST = 300
# For so many seconds readers leave a cache alone that has failed ...
_PAUSE = 1.0
# ... and the log does not say the same again.
_QUIET = 60.0
# Marks that one process remembers to have failed to write.
_MAX_OWED = 10_000

_HEAD = tuple(f.name for f in fields(UserSession) if f.name not in ("key", "ticket"))
_MOMENTS = ("created", "renewed", "expires")


class CachedUserSessionStore(UserSessionStore):
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
        self._alias: str = conf.CACHE if cache is None else cache
        self._max_stale: float = conf.MAX_STALE if max_stale is None else max_stale
        self._lock = threading.Lock()
        self._owed: dict[str, float] = {}
        self._away_until = 0.0
        self._said: dict[int, float] = {}
        if type(self) is CachedUserSessionStore and isinstance(
            self._inner, UserSessionStoreCleanup
        ):
            # Whether a store cleans up, callers ask its class.
            self.__class__ = _CachedWithCleanup

    def get_user_session(self, key: str) -> UserSession | None:
        entry_name, mark_name = names = _names(key)
        found = self._look(key, names)
        if found is None or (mark := found.get(mark_name)) == _CLOSED:
            return self._inner.get_user_session(key)
        sealed = found.get(entry_name)
        if sealed is not None:
            session = self._open(key, entry_name, sealed, mark)
            if session is not None:
                return session
        moment = time.time()
        session = self._inner.get_user_session(key)
        if session is not None:
            self._fill(session, entry_name, mark, moment, replaces=sealed is not None)
        return session

    def create_user_session(self, session: UserSession) -> None:
        self._inner.create_user_session(session)

    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        with self._changing(key):
            version = self._inner.update_user_session(key, update, if_version=if_version)
        self._inner.on_commit(partial(self._reopen, key))
        return version

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        with self._changing(key):
            version = self._inner.rekey_user_session(key, session, if_version=if_version)
        self._inner.on_commit(partial(self._end, [key]))
        return version

    def touch_user_session(self, key: str, *, renewed: datetime, expires: datetime | None) -> bool:
        with self._changing(key):
            touched = self._inner.touch_user_session(key, renewed=renewed, expires=expires)
        if touched:
            self._inner.on_commit(partial(self._reopen, key))
        return touched

    def delete_user_session(self, key: str) -> bool:
        with self._ending([key]):
            return self._inner.delete_user_session(key)

    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        return self._inner.get_user_sessions(filter)

    def delete_user_sessions(self, filter: UserSessionsFilter) -> list[DeletedSession]:
        expected = [session.key for session in self._inner.get_user_sessions(filter)]
        # Also those that are expected and not returned: a batch may fail after others went.
        with self._ending(expected) as keys:
            deleted = self._inner.delete_user_sessions(filter)
            keys.update(session.key for session in deleted)
        return deleted

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        acquired = self._inner.acquire_lease(key, owner, seconds)
        if acquired:
            # Who reads a refresh token now is going to use it. Not one that the cache still has
            # because it could not be told that somebody else has used it.
            self._mark([key], _CLOSED)
        return acquired

    def release_lease(self, key: str, owner: str) -> bool:
        released = self._inner.release_lease(key, owner)
        if released:
            self._reopen(key)
        return released

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._inner.on_commit(callback)

    # What writers do

    @contextmanager
    def _changing(self, key: str) -> Iterator[None]:
        self._mark([key], _CLOSED)
        try:
            yield
        except (SessionChanged, SessionMissing):
            # Whoever changed it may have opened the mark too early for what the caller, who
            # reads again, must see now.
            self._mark([key], _CLOSED)
            raise

    @contextmanager
    def _ending(self, expected: Iterable[str]) -> Iterator[set[str]]:
        keys = set(expected)
        self._mark(keys, _CLOSED)
        try:
            yield keys
        finally:
            self._inner.on_commit(partial(self._end, keys))

    def _end(self, keys: Iterable[str]) -> None:
        if self._mark(keys, _CLOSED):
            # Nothing serves them any more; nor need they lie about.
            try:
                self._cache.delete_many([_names(key)[0] for key in keys])
            except Exception as error:
                self._failed(error)

    def _reopen(self, key: str) -> None:
        self._mark([key], secrets.randbits(62) + 1)

    def _mark(self, keys: Iterable[str], mark: int) -> bool:
        keys = list(keys)
        if not keys or self._write_marks(keys, mark):
            return True
        self._say(
            logging.ERROR,
            "The cache %r could not be told of %d session(s) that changed or ended. It will be "
            "tried again; for up to %s seconds, others may be served what they were before.",
            self._alias,
            len(keys),
            self._max_stale,
        )
        with self._lock:
            self._owed |= dict.fromkeys(keys, time.monotonic() + self._max_stale)
            for key in list(self._owed)[:-_MAX_OWED]:
                del self._owed[key]
        return False

    def _write_marks(self, keys: Sequence[str], mark: int) -> bool:
        lifetime = int(self._max_stale) + _LONGEST_REQUEST
        try:
            refused = self._cache.set_many({_names(key)[1]: mark for key in keys}, lifetime)
        except Exception as error:
            self._failed(error)
            return False
        return not refused

    def _pay(self) -> None:
        """Try again to write the marks that could not be written, while that is of use."""
        now = time.monotonic()
        with self._lock:
            self._owed = {key: end for key, end in self._owed.items() if end > now}
            owed = dict(self._owed)
        if owed and self._write_marks(list(owed), _CLOSED):
            with self._lock:
                for key, end in owed.items():
                    if self._owed.get(key) == end:
                        del self._owed[key]

    # What readers do

    def _look(self, key: str, names: tuple[str, str]) -> dict[str, Any] | None:
        """Entry and mark, as far as there are; None if the cache is not to be asked."""
        if time.monotonic() < self._away_until:
            return None
        if self._owed:
            self._pay()
            if key in self._owed:
                return None
        try:
            # The mark last: where this is not one step, it must be the younger of the two.
            return self._cache.get_many(names)
        except Exception as error:
            self._failed(error)
            return None

    def _open(
        self, key: str, entry_name: str, sealed: object, mark: int | None
    ) -> UserSession | None:
        """The session in an entry, if it may be served."""
        try:
            if not isinstance(sealed, bytes):
                raise TypeError
            plain = unprotect(sealed, key=entry_name, partition=_PREFIX)
            head, _, ticket = plain.partition(b"\0")
            its_mark, moment, *values = json.loads(head)
            if its_mark != mark or not 0 <= time.time() - moment < self._max_stale:
                return None
            known = dict(zip(_HEAD, values, strict=True))
            for name in _MOMENTS:
                if known[name] is not None:
                    known[name] = datetime.fromisoformat(known[name])
            session = UserSession(key=key, ticket=ticket, **known)
        except (TicketUnreadable, TypeError, ValueError):
            return None  # Another host's key, or another release.
        return session if session.is_live(datetime.now(UTC)) else None

    def _fill(
        self,
        session: UserSession,
        entry_name: str,
        mark: int | None,
        moment: float,
        *,
        replaces: bool,
    ) -> None:
        is_later = False

        def fill() -> None:
            if is_later and mark is not None:
                return  # The transaction may have been shown what was there before the mark.
            now = time.time()
            left = moment + self._max_stale - now
            if session.expires is not None:
                left = min(left, session.expires.timestamp() - now)
            if left < 1:
                return
            values = [getattr(session, name) for name in _HEAD]
            head = json.dumps([mark, moment, *values], default=str).encode()
            plain = head + b"\0" + session.ticket
            sealed = protect(plain, key=entry_name, partition=_PREFIX)
            try:
                if replaces:
                    self._cache.delete(entry_name)
                self._cache.add(entry_name, sealed, int(left))
            except Exception as error:
                self._failed(error)

        # Inside a transaction it may be of its own making: others get it when it is committed.
        self._inner.on_commit(fill)
        is_later = True

    @property
    def _cache(self) -> BaseCache:
        return caches[self._alias]  # The one of this thread.

    def _failed(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _PAUSE
        self._say(
            logging.WARNING,
            "The cache %r fails (%s): sessions are read from the store.",
            self._alias,
            type(error).__name__,  # Its text is a stranger's, and may hold keys.
        )

    def _say(self, level: int, message: str, *args: object) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._said.get(level, now):
                return
            self._said[level] = now + _QUIET
        logger.log(level, message, *args)


class _CachedWithCleanup(CachedUserSessionStore, UserSessionStoreCleanup):
    _inner: Any

    def delete_expired_sessions(
        self,
        *,
        batch_size: int = 10_000,
        max_seconds: float | None = None,
        sleep: float | None = None,
        partition: str | AnyType = ANY,
        dry_run: bool = False,
        on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        def end(batch: Sequence[DeletedSession]) -> None:
            self._inner.on_commit(partial(self._end, [session.key for session in batch]))
            if on_deleted is not None:
                on_deleted(batch)

        removed: int = self._inner.delete_expired_sessions(
            batch_size=batch_size,
            max_seconds=max_seconds,
            sleep=sleep,
            partition=partition,
            dry_run=dry_run,
            on_deleted=end,
            should_stop=should_stop,
        )
        return removed


def load_inner_class(path: str) -> type[UserSessionStore]:
    """The store class at the dotted `path`.

    Raises:
        ImproperlyConfigured: if it cannot be imported, is not a complete `UserSessionStore`, or
            is a cached one itself, which would be around itself.
    """
    store_class = load_store_class(path, "CACHED_STORE")
    if issubclass(store_class, CachedUserSessionStore):
        raise ImproperlyConfigured(f"BFF_SESSIONS['CACHED_STORE'] is a cache itself: {path!r}.")
    return store_class


def _names(key: str) -> tuple[str, str]:
    """Of entry and mark in the cache, which does not get to know the store's key."""
    digest = hashlib.sha256(_PREFIX.encode() + key.encode()).hexdigest()
    return f"{_PREFIX}{digest}:entry", f"{_PREFIX}{digest}:mark"
