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

from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionMissing
from bff_sessions.testing import make_session

__all__ = ["Load"]

_SESSIONS = 100
# The sessions signed out last, which are read most often.
_RECENT = 50
_PAUSE = 0.001


class Load:
    """Threads that sign in, read, save and sign out by subject until the block ends.

    They share the sessions, so that some threads read and save what another one signs out. A
    request fails if the store raises an error. Only a sign-out that returns is acknowledged.

    Args:
        store: the store, which threads may share.
        threads: how many threads.
    """

    def __init__(self, store: UserSessionStore, threads: int) -> None:
        self._store = store
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._use) for _ in range(threads)]
        self._live: dict[str, UserSession] = {}
        self._unsure: deque[UserSession] = deque()
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self.requests = 0
        self.failed: Counter[str] = Counter()
        self.last_failure = 0.0
        """The end of the last request that failed, by time.monotonic()."""
        self.revoked: list[str] = []
        """The keys of sessions whose sign-out was acknowledged."""
        self.served = 0
        """How many requests began afterwards and read one of them."""
        self.gone: set[str] = set()
        """The keys of sessions that have ended without a sign-out."""

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def lost(self) -> int:
        """Return how many sessions have come back after their sign-out."""
        return sum(self._store.get_user_session(key) is not None for key in self.revoked)

    def _use(self) -> None:
        while not self._stop.is_set():
            failed: str | None = None
            try:
                random.choice(self._verbs())()
            except Exception as error:
                failed = type(error).__name__
            with self._lock:
                self.requests += 1
                if failed:
                    self.failed[failed] += 1
                    self.last_failure = time.monotonic()
            time.sleep(_PAUSE)

    def _verbs(self) -> list[Callable[[], None]]:
        """Return what is possible now."""
        if len(self._live) < _SESSIONS // 2:
            return [self._sign_in]
        verbs = [self._read, self._save, self._sign_out]
        if len(self._live) < _SESSIONS:
            verbs.append(self._sign_in)
        if self._recent:
            verbs.append(self._read_revoked)
        if self._unsure:
            verbs.append(self._repeat_sign_out)
        return verbs

    def _some(self) -> UserSession:
        return random.choice(list(self._live.values()))

    def _sign_in(self) -> None:
        session = make_session(subject_id=f"user {random.getrandbits(64)}", ticket=bytes(2000))
        self._store.create_user_session(session)
        self._live[session.key] = session

    def _read(self) -> None:
        session = self._some()
        if self._store.get_user_session(session.key) is None:
            self._note_missing(session)

    def _save(self) -> None:
        session = replace(self._some(), renewed=datetime.now(UTC))
        try:
            self._store.update_user_session(session.key, UserSessionUpdate.of(session))
        except SessionMissing:
            self._note_missing(session)

    def _note_missing(self, session: UserSession) -> None:
        # Another thread may have signed it out.
        if session.key in self._live:
            self.gone.add(session.key)

    def _read_revoked(self) -> None:
        if self._store.get_user_session(random.choice(self._recent)) is not None:
            self.served += 1

    def _sign_out(self) -> None:
        session = self._some()
        if self._live.pop(session.key, None):
            self._revoke(session)

    def _repeat_sign_out(self) -> None:
        # Another thread may have taken the last one.
        with suppress(IndexError):
            self._revoke(self._unsure.popleft())

    def _revoke(self, session: UserSession) -> None:
        try:
            self._store.delete_user_sessions(UserSessionsFilter(subject_id=session.subject_id))
        except Exception:
            # The session may exist or not. Only a repetition makes that sure.
            self._unsure.append(session)
            raise
        self.revoked.append(session.key)
        self._recent.append(session.key)
