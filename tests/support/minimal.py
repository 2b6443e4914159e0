"""A store of the six required verbs alone."""

from bff_sessions.contract import UserSessionStore
from bff_sessions.stores.memory import InMemoryUserSessionStore


class MinimalStore(UserSessionStore):
    def __init__(self):
        store = InMemoryUserSessionStore()
        self._store = store

    def get_user_session(self, key):
        return self._store.get_user_session(key)

    def create_user_session(self, session):
        self._store.create_user_session(session)

    def update_user_session(self, key, update, *, if_version=None):
        return self._store.update_user_session(key, update, if_version=if_version)

    def delete_user_session(self, key, *, on_ending=None):
        return self._store.delete_user_session(key, on_ending=on_ending)

    def get_user_sessions(self, filter):
        return self._store.get_user_sessions(filter)

    def delete_user_sessions(self, filter, *, on_ending=None):
        return self._store.delete_user_sessions(filter, on_ending=on_ending)
