"""Threads that use a store as requests do, and check what it returns."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bff_sessions.contract import UserSession, UserSessionsFilter, UserSessionUpdate
from bff_sessions.exceptions import SessionMissing
from bff_sessions.testing import make_session

__all__ = ["Load"]

# Sessions of each thread, and those that were revoked last and are read most often.
_SESSIONS = 50
_RECENT = 50
_PAUSE = 0.001


class Load:
    """Threads that sign in, read, save and sign out until the block ends.

    A request fails if the store raises an error. Only a sign-out that has returned is acknowledged.
    """

    def __init__(self, store: Any, threads: int) -> None:
        """Use `store` in so many threads."""
        self._store = store
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._use) for _ in range(threads)]
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._unsure: deque[UserSession] = deque()
        self.requests = 0
        self.failed: Counter[str] = Counter()
        self.last_failure = 0.0
        """The end of the last request that failed, by time.monotonic()."""
        self.revoked: list[str] = []
        """The keys of sessions whose sign-out was acknowledged."""
        self.served = 0
        """How many requests have read one of them afterwards."""
        self.gone: set[str] = set()
        """The keys of sessions whose sign-in was acknowledged, and which are gone all the same."""

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def lost(self) -> int:
        """Return how many acknowledged sign-outs have been undone."""
        return sum(self._store.get_user_session(key) is not None for key in self.revoked)

    def _use(self) -> None:
        mine: list[UserSession] = []
        while not self._stop.is_set():
            try:
                random.choice(self._verbs(mine))(mine)
            except Exception as error:
                with self._lock:
                    self.failed[type(error).__name__] += 1
                    self.last_failure = time.monotonic()
            with self._lock:
                self.requests += 1
            time.sleep(_PAUSE)

    def _verbs(self, mine: list[UserSession]) -> list[Callable[[list[UserSession]], None]]:
        """Return what is possible now."""
        if not mine:
            return [self._sign_in]
        verbs = [self._read, self._save, self._sign_out]
        if len(mine) < _SESSIONS:
            verbs.append(self._sign_in)
        if self._recent:
            verbs.append(self._read_revoked)
        if self._unsure:
            verbs.append(self._repeat_sign_out)
        return verbs

    def _sign_in(self, mine: list[UserSession]) -> None:
        session = make_session(subject_id=f"user {random.getrandbits(64)}", ticket=bytes(2000))
        self._store.create_user_session(session)
        mine.append(session)

    def _read(self, mine: list[UserSession]) -> None:
        key = random.choice(mine).key
        if self._store.get_user_session(key) is None:
            self.gone.add(key)

    def _read_revoked(self, mine: list[UserSession]) -> None:
        if self._store.get_user_session(random.choice(self._recent)) is not None:
            self.served += 1

    def _save(self, mine: list[UserSession]) -> None:
        session = replace(random.choice(mine), renewed=datetime.now(UTC))
        try:
            self._store.update_user_session(session.key, UserSessionUpdate.of(session))
        except SessionMissing:
            self.gone.add(session.key)

    def _sign_out(self, mine: list[UserSession]) -> None:
        session = mine.pop(random.randrange(len(mine)))
        try:
            self._store.delete_user_sessions(UserSessionsFilter(subject_id=session.subject_id))
        except Exception:
            # The session may exist or not. A sign-out that is repeated ends it.
            self._unsure.append(session)
            raise
        self.revoked.append(session.key)
        self._recent.append(session.key)

    def _repeat_sign_out(self, mine: list[UserSession]) -> None:
        # Another thread may have taken the last one.
        with suppress(IndexError):
            self._sign_out([self._unsure.popleft()])
