"""What the tests of the cached store share."""

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import replace
from unittest import mock

from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connection

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate

ALICES = UserSessionsFilter(subject_id="alice")
FAKE = {
    "default": {"BACKEND": "tests.support.caches.FakeCache", "LOCATION": "fake"},
}

DATABASE_CACHE = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "test_session_cache",
    },
}


@contextmanager
def database_cache():
    """The table of DATABASE_CACHE."""
    call_command("createcachetable", verbosity=0)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE test_session_cache")


class FakeCache(LocMemCache):
    """Remembers what it was asked, can be down, and refuses to be called in an event loop."""

    calls = []
    is_down = False
    refuses = False

    def _meet(self, verb):
        self.calls.append(verb)
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise AssertionError("A synchronous call of the cache in the event loop.")
        if FakeCache.is_down:
            raise ConnectionError("secret address")

    def get_many(self, keys, version=None):
        self._meet("get_many")
        return super().get_many(keys, version)

    def set_many(self, data, timeout=None, version=None):
        self._meet("set_many")
        if FakeCache.refuses:
            return list(data)
        return super().set_many(data, timeout, version)

    def add(self, key, value, timeout=None, version=None):
        self._meet("add")
        return super().add(key, value, timeout, version)

    def delete(self, key, version=None):
        self._meet("delete")
        return super().delete(key, version)


def is_warm(store, key):
    """Whether reading serves the session without asking the store behind."""
    with mock.patch.object(store._inner, "get_user_session", side_effect=LookupError):
        try:
            return store.get_user_session(key) is not None
        except LookupError:
            return False


def marks(cache):
    return [name for name in cache._cache if name.endswith(":mark")]


def entries(cache):
    return [name for name in cache._cache if name.endswith("}")]


def tombstones(cache):
    return [name for name in cache._cache if name.endswith(":ended")]


def forget_marks(cache):
    for name in marks(cache) + tombstones(cache):
        LocMemCache.delete(cache, name.removeprefix(":1:"))


def update_of(session, **fields):
    return UserSessionUpdate.of(replace(session, **fields))


@contextmanager
def after_reading(store, action):
    """Run `action` between what `store` reads behind the cache and what it does with it."""
    original = store._inner.get_user_session

    def read(key):
        session = original(key)
        action()
        return session

    with mock.patch.object(store._inner, "get_user_session", read):
        yield
