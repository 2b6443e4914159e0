"""A store with native expiry and the six verbs only: an example of docs/how-to/write-a-store.md.

It stands for servers that have a time to live for each key.
"""

import threading
from dataclasses import replace
from datetime import UTC, datetime

from bff_sessions.contract import UPDATED, DeletedSession, UserSessionStore
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing


class ExpiringDict:
    """Stands for the server: a value is gone from the moment at which it expires."""

    def __init__(self):
        self._values = {}

    def set(self, key, value, expires):
        self._values[key] = value, expires

    def get(self, key):
        self._expire()
        value, _ = self._values.get(key, (None, None))
        return value

    def pop(self, key):
        self._expire()
        value, _ = self._values.pop(key, (None, None))
        return value

    def values(self):
        self._expire()
        return [value for value, _ in self._values.values()]

    def _expire(self):
        now = datetime.now(UTC)
        for key, (_, expires) in list(self._values.items()):
            if expires is not None and expires <= now:
                del self._values[key]


class NativeExpiryStore(UserSessionStore):
    def __init__(self):
        self._server = ExpiringDict()
        self._lock = threading.RLock()

    def get_user_session(self, key):
        with self._lock:
            return self._server.get(key)

    def create_user_session(self, session):
        with self._lock:
            if self._server.get(session.key) is not None:
                raise SessionExists
            self._server.set(session.key, session, session.expires)

    def update_user_session(self, key, update, *, if_version=None):
        with self._lock:
            session = self._server.get(key)
            if session is None:
                raise SessionMissing
            if if_version not in (None, session.version):
                raise SessionChanged
            values = {name: getattr(update, name) for name in UPDATED}
            session = replace(session, **values, version=session.version + 1)
            self._server.set(key, session, session.expires)
            return session.version

    def delete_user_session(self, key, *, on_ending=None):
        with self._lock:
            session = self._server.get(key)
            return session is not None and bool(self._delete([session], on_ending))

    def get_user_sessions(self, filter):
        with self._lock:
            found = [session for session in self._server.values() if filter.matches(session)]
        return sorted(found, key=lambda session: session.renewed, reverse=True)

    def delete_user_sessions(self, filter, *, on_ending=None):
        with self._lock:
            found = [session for session in self._server.values() if filter.matches(session)]
            return self._delete(found, on_ending)

    def _delete(self, found, on_ending):
        deleted = [DeletedSession.of(session) for session in found]
        if deleted and on_ending is not None:
            on_ending(deleted)  # Before the tickets are lost.
        for session in found:
            self._server.pop(session.key)
        return deleted
