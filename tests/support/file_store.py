"""A store that keeps each session in a file: the example of docs/how-to/write-a-store.md."""

import fcntl
import pickle
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from bff_sessions.contract import UPDATED, DeletedSession, UserSession, UserSessionStore
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing


class FileStore(UserSessionStore):
    def __init__(self, folder="/var/lib/shop/sessions"):
        self._folder = Path(folder)

    def get_user_session(self, key):
        session = self._read(self._path(key))
        return None if session is None or session.has_expired(datetime.now(UTC)) else session

    def create_user_session(self, session):
        with self._lock():
            if self._path(session.key).exists():
                raise SessionExists
            self._write(session)

    def update_user_session(self, key, update, *, if_version=None):
        with self._lock():
            session = self._read(self._path(key))
            if session is None:
                raise SessionMissing
            if if_version not in (None, session.version):
                raise SessionChanged
            values = {name: getattr(update, name) for name in UPDATED}
            session = replace(session, **values, version=session.version + 1)
            self._write(session)
            return session.version

    def delete_user_session(self, key, *, on_ending=None):
        with self._lock():
            session = self._read(self._path(key))
            return session is not None and bool(self._delete([session], on_ending))

    def get_user_sessions(self, filter):
        now = datetime.now(UTC)
        found = [s for s in self._all() if filter.matches(s) and not s.has_expired(now)]
        return sorted(found, key=lambda session: session.renewed, reverse=True)

    def delete_user_sessions(self, filter, *, on_ending=None):
        with self._lock():
            found = [session for session in self._all() if filter.matches(session)]
            return self._delete(found, on_ending)

    def _delete(self, found, on_ending):
        deleted = [DeletedSession.of(session) for session in found]
        if deleted and on_ending is not None:
            on_ending(deleted)  # Before the tickets are lost.
        for session in found:
            self._path(session.key).unlink()
        return deleted

    def _path(self, key):
        # A key from outside may be any text, a path for example.
        return self._folder / sha256(key.encode(errors="surrogatepass")).hexdigest()

    def _all(self) -> list[UserSession]:
        sessions = [self._read(path) for path in self._folder.glob("[0-9a-f]*")]
        return [session for session in sessions if session is not None]

    def _read(self, path):
        try:
            return pickle.loads(path.read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, session):
        # Atomic, so that another process never reads half a file.
        new = self._folder / ".new"
        new.write_bytes(pickle.dumps(session))
        new.replace(self._path(session.key))

    @contextmanager
    def _lock(self):
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
