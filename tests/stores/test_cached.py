import asyncio
import logging
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import TestCase, mock, skipUnless

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import TransactionTestCase, override_settings

from bff_sessions.contract import UserSessionsFilter, UserSessionStoreCleanup, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.stores import cached, get_store
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import UserSessionStoreTests, make_session
from tests.stores.test_minimal import MinimalStore

REDIS = os.environ.get("TEST_REDIS_URL")
ALICES = UserSessionsFilter(subject_id="alice")
FAKE = {"default": {"BACKEND": "tests.stores.test_cached.FakeCache", "LOCATION": "fake"}}


class TestAroundMemory(UserSessionStoreTests, TestCase):
    def make_store(self):
        return CachedUserSessionStore(InMemoryUserSessionStore())


class TestAroundOrm(UserSessionStoreTests, TransactionTestCase):
    def make_store(self):
        return CachedUserSessionStore(OrmUserSessionStore())


class TestAroundAMinimalStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return CachedUserSessionStore(MinimalStore())


@skipUnless(REDIS, "TEST_REDIS_URL names no server")
@override_settings(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS}
    }
)
class TestWithRedis(TestAroundOrm):
    def make_store(self):
        self.addCleanup(caches["default"].close)
        return super().make_store()

    def test_a_warm_session_is_served_until_it_is_revoked(self):
        session = self.create()
        self.store.get_user_session(session.key)
        with self.assertNumQueries(0):
            self.assertEqual(self.store.get_user_session(session.key), session)
        self.store.delete_user_sessions(ALICES)
        self.assertIsNone(self.store.get_user_session(session.key))

    def test_what_expires_leaves_the_cache(self):
        session = self.create(expires=datetime.now(UTC) + timedelta(seconds=10))
        self.store.get_user_session(session.key)
        entry, _ = cached._names(session.key)
        cache = caches["default"]
        seconds = cache._cache.get_client(entry).ttl(cache.make_key(entry))
        self.assertTrue(0 < seconds <= 10, seconds)


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


@pytest.fixture
def cache(settings):
    settings.CACHES = FAKE
    FakeCache.calls.clear()
    yield caches["default"]
    FakeCache.is_down = FakeCache.refuses = False
    caches["default"].clear()


@pytest.fixture
def clock():
    """The time as the stores see it; the cache's own goes on as always."""
    ahead = SimpleNamespace(seconds=0)
    fake = SimpleNamespace(
        time=lambda: time.time() + ahead.seconds,
        monotonic=lambda: time.monotonic() + ahead.seconds,
    )
    with mock.patch.object(cached, "time", fake):
        yield ahead


@pytest.fixture
def inner():
    return InMemoryUserSessionStore()


@pytest.fixture
def ours(cache, inner):
    return CachedUserSessionStore(inner)


@pytest.fixture
def theirs(cache, inner):
    """The same on another host: it shares store and cache and nothing else."""
    return CachedUserSessionStore(inner)


@pytest.fixture
def warm(ours, theirs):
    """A session that is in the cache."""
    session = make_session()
    ours.create_user_session(session)
    assert ours.get_user_session(session.key) == session
    assert is_warm(theirs, session.key)
    return session


def is_warm(store, key):
    """Whether reading serves the session without asking the store behind."""
    with mock.patch.object(store._inner, "get_user_session", side_effect=LookupError):
        try:
            return store.get_user_session(key) is not None
        except LookupError:
            return False


def marks(cache):
    return [name for name in cache._cache if name.endswith(":mark")]


def forget_marks(cache):
    for name in marks(cache):
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


def in_another_thread(function):
    results = []

    def run():
        try:
            results.append(function())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


# What it costs


def test_a_cold_load_is_one_statement_and_a_warm_one_none(
    transactional_db, cache, settings, calls, django_assert_num_queries
):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"}
    session_key = calls.start(cart=[1]).session_key
    for statements in (1, 0, 0):
        with django_assert_num_queries(statements):
            assert calls.get(SessionStore(session_key), "cart") == [1]
    calls.change(session_key, cart=[2])
    for statements in (1, 0):
        with django_assert_num_queries(statements):
            assert calls.get(SessionStore(session_key), "cart") == [2]


def test_a_warm_read_is_one_call_of_the_cache(ours, warm):
    FakeCache.calls.clear()
    assert ours.get_user_session(warm.key) == warm
    assert FakeCache.calls == ["get_many"]


def test_an_unknown_key_leaves_nothing_behind(ours, cache):
    assert ours.get_user_session("0" * 64) is None
    assert not cache._cache


def test_nothing_in_the_cache_can_be_read(ours, warm, cache):
    ours.touch_user_session(warm.key, renewed=warm.renewed, expires=None)
    assert len(cache._cache) == 2
    for name, value in cache._cache.items():
        for secret in (warm.key, warm.subject_id, warm.session_id, warm.issuer, warm.partition):
            assert secret not in name
            assert secret.encode() not in value
        assert warm.ticket not in value


def test_an_entry_leaves_the_cache_before_the_session_ends(ours, cache):
    expires = datetime.now(UTC) + timedelta(seconds=10)
    session = make_session(expires=expires)
    ours.create_user_session(session)
    ours.get_user_session(session.key)
    (leaves,) = cache._expire_info.values()
    assert leaves <= expires.timestamp()


def test_what_is_about_to_expire_is_not_cached(ours, cache):
    session = make_session(expires=datetime.now(UTC) + timedelta(seconds=0.9))
    ours.create_user_session(session)
    assert ours.get_user_session(session.key) == session
    assert not cache._cache


# Signed out is out


@pytest.mark.parametrize(
    "end",
    [
        lambda store, session: store.delete_user_session(session.key),
        lambda store, session: store.delete_user_sessions(ALICES),
        lambda store, session: store.rekey_user_session(session.key, make_session(), if_version=1),
        lambda store, session: async_to_sync(store.adelete_user_session)(session.key),
        lambda store, session: async_to_sync(store.adelete_user_sessions)(ALICES),
    ],
    ids=["delete", "delete_many", "rekey", "adelete", "adelete_many"],
)
def test_signed_out_is_out_for_what_is_in_the_cache(ours, theirs, warm, cache, end):
    end(ours, warm)
    assert theirs.get_user_session(warm.key) is None
    assert [name for name in cache._cache if name.endswith(":entry")] == []


def test_signed_out_is_out_for_a_cache_refill(ours, theirs, warm, cache, clock):
    cache.clear()
    with after_reading(theirs, lambda: ours.delete_user_session(warm.key)):
        # This request was on its way before the revocation ...
        assert theirs.get_user_session(warm.key) == warm
    # ... and what it has put into the cache is not served to the next.
    assert any(name.endswith(":entry") for name in cache._cache)
    assert theirs.get_user_session(warm.key) is None
    # Nor when the mark has gone: it lives longer.
    (mark,) = marks(cache)
    assert cache._expire_info[mark] > time.time() + 30 + 299
    forget_marks(cache)
    clock.seconds = 31
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_for_a_save_that_reports_late(ours, theirs, warm):
    reports = []
    with mock.patch.object(theirs._inner, "on_commit", reports.append):
        theirs.update_user_session(warm.key, update_of(warm, ticket=b"late"))
    ours.delete_user_session(warm.key)
    for report in reports:
        report()
    assert ours.get_user_session(warm.key) is None
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_cache_is_down(ours, theirs, warm, cache, clock, caplog):
    FakeCache.is_down = True
    assert ours.delete_user_sessions(ALICES)
    assert ours.get_user_session(warm.key) is None
    assert theirs.get_user_session(warm.key) is None
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "30 seconds" in error.getMessage()
    for record in caplog.records:
        assert "secret" not in record.getMessage()
        assert warm.key not in record.getMessage()
        assert record.exc_info is None

    FakeCache.is_down = False
    clock.seconds = 2
    # Who has ended it knows, whatever the cache says.
    assert not is_warm(ours, warm.key)
    # That it asked for something else was enough to tell the others.
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_host_that_knew_it_has_died(ours, theirs, warm, cache, clock):
    FakeCache.is_down = True
    ours.delete_user_session(warm.key)
    FakeCache.is_down = False
    clock.seconds = 29
    assert is_warm(theirs, warm.key)  # This is what MAX_STALE says.
    clock.seconds = 30
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_cache_was_flushed(ours, theirs, warm, cache, clock):
    cache.clear()

    def revoke_and_flush():
        ours.delete_user_session(warm.key)
        cache.clear()
        clock.seconds = 20  # And this request is slow.

    with after_reading(theirs, revoke_and_flush):
        theirs.get_user_session(warm.key)
    assert is_warm(theirs, warm.key)
    (leaves,) = cache._expire_info.values()
    assert leaves < time.time() + 10
    clock.seconds = 30
    assert theirs.get_user_session(warm.key) is None


def test_what_was_read_too_long_ago_does_not_get_into_the_cache(ours, warm, cache, clock):
    cache.clear()

    def dawdle():
        clock.seconds = 31

    with after_reading(ours, dawdle):
        ours.get_user_session(warm.key)
    assert not cache._cache


def test_an_entry_of_the_future_is_not_served(ours, warm, clock):
    clock.seconds = -5
    assert not is_warm(ours, warm.key)


def test_marks_that_the_cache_refuses_are_written_later(ours, theirs, warm, cache, caplog):
    FakeCache.refuses = True
    session = ours.get_user_session(warm.key)
    ours.update_user_session(warm.key, update_of(session, ticket=b"new"), if_version=1)
    assert ours.get_user_session(warm.key).ticket == b"new"  # Who wrote it knows.
    ours.delete_user_session(warm.key)
    assert "could not be told" in caplog.text
    FakeCache.refuses = False
    assert ours.get_user_session("0" * 64) is None  # Any read is an occasion.
    assert theirs.get_user_session(warm.key) is None
    assert not ours._owed


def test_marks_are_not_written_when_it_is_of_no_use_any_more(ours, warm, cache, clock):
    FakeCache.is_down = True
    ours.delete_user_session(warm.key)
    FakeCache.is_down = False
    clock.seconds = 31
    ours.get_user_session("0" * 64)
    assert not ours._owed
    assert not marks(cache)


def test_what_is_owed_to_the_cache_is_bounded(ours, inner, monkeypatch):
    monkeypatch.setattr(cached, "_MAX_OWED", 3)
    sessions = [make_session() for _ in range(5)]
    for session in sessions:
        inner.create_user_session(session)
    FakeCache.is_down = True
    for session in sessions:
        ours.delete_user_session(session.key)
    assert list(ours._owed) == [session.key for session in sessions[2:]]


def test_a_delete_tells_of_what_it_did_not_expect(ours, theirs, warm):
    # For example a session that was created, or read, after the look for them.
    with mock.patch.object(ours._inner, "get_user_sessions", return_value=[]):
        ours.delete_user_sessions(ALICES)
    assert theirs.get_user_session(warm.key) is None


def test_a_tombstone_keeps_readers_from_filling_the_cache(ours, theirs, warm, inner, cache):
    ours.delete_user_session(warm.key)
    inner.create_user_session(warm)  # As if it had been rolled back.
    assert theirs.get_user_session(warm.key) == warm
    assert not is_warm(theirs, warm.key)
    assert [name for name in cache._cache if name.endswith(":entry")] == []


def test_a_delete_that_fails_half_way_is_told_all_the_same(ours, theirs, warm, inner):
    def fail(filter):
        inner.delete_user_session(warm.key)
        raise OSError

    with mock.patch.object(inner, "delete_user_sessions", fail), pytest.raises(OSError):
        ours.delete_user_sessions(ALICES)
    assert theirs.get_user_session(warm.key) is None


# Others see what was written, when it is committed


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_save_and_a_renewal_are_seen_at_once_and_cached_again(ours, theirs, warm, is_async):
    def write(verb, *args, **kwargs):
        if is_async:
            return async_to_sync(getattr(ours, f"a{verb}"))(*args, **kwargs)
        return getattr(ours, verb)(*args, **kwargs)

    assert write("update_user_session", warm.key, update_of(warm, ticket=b"new")) == 2
    assert theirs.get_user_session(warm.key).ticket == b"new"
    assert is_warm(ours, warm.key)
    renewed = warm.renewed + timedelta(minutes=1)
    assert write("touch_user_session", warm.key, renewed=renewed, expires=None)
    assert theirs.get_user_session(warm.key).expires is None
    assert is_warm(ours, warm.key)


def test_a_session_that_moved_is_served_under_its_new_key(ours, theirs, warm):
    moved = make_session()
    assert ours.rekey_user_session(warm.key, moved, if_version=1) == 2
    assert theirs.get_user_session(moved.key) == replace(moved, version=2)
    assert is_warm(ours, moved.key)


def test_who_is_told_that_it_changed_does_not_get_the_old_one_again(ours, theirs, warm):
    reports = []
    with mock.patch.object(theirs._inner, "on_commit", reports.append):
        theirs.update_user_session(warm.key, update_of(warm, ticket=b"second"))

    def open_early(*args, **kwargs):
        # A save before that reports only now, and somebody fills the cache with what it wrote.
        theirs._reopen(warm.key)
        stale = replace(warm, version=1)
        with mock.patch.object(theirs._inner, "get_user_session", lambda key: stale):
            theirs.get_user_session(warm.key)
        raise SessionChanged

    for verb, arguments in (
        ("update_user_session", (update_of(warm),)),
        ("rekey_user_session", (make_session(),)),
    ):
        with (
            mock.patch.object(ours._inner, verb, open_early),
            pytest.raises(SessionChanged),
        ):
            getattr(ours, verb)(warm.key, *arguments, if_version=1)
        assert ours.get_user_session(warm.key).version == 2


def test_who_is_told_that_it_is_missing_does_not_get_it_again(ours, theirs, warm, inner, cache):
    inner.delete_user_session(warm.key)  # By somebody who knows of no cache.
    assert is_warm(ours, warm.key)
    with pytest.raises(SessionMissing):
        ours.update_user_session(warm.key, update_of(warm), if_version=1)
    assert ours.get_user_session(warm.key) is None


def test_what_has_expired_in_the_cache_is_asked_for(ours, inner, cache, clock):
    now = datetime.now(UTC)
    session = make_session(expires=now + timedelta(seconds=2))
    ours.create_user_session(session)
    ours.get_user_session(session.key)
    inner.touch_user_session(session.key, renewed=now, expires=None)
    later = SimpleNamespace(
        now=lambda zone: now + timedelta(seconds=3), fromisoformat=datetime.fromisoformat
    )
    with mock.patch.object(cached, "datetime", later):
        assert ours.get_user_session(session.key).expires is None


@pytest.fixture
def orm(transactional_db, cache):
    return CachedUserSessionStore(OrmUserSessionStore())


@pytest.fixture
def row(orm):
    """A session of the database that is in the cache."""
    session = make_session()
    orm.create_user_session(session)
    orm.get_user_session(session.key)
    assert is_warm(orm, session.key)
    return session


class Rollback(Exception):
    pass


@contextmanager
def rolled_back():
    with suppress(Rollback), transaction.atomic():
        yield
        raise Rollback


@pytest.mark.parametrize(
    "end",
    [
        lambda store, key: store.delete_user_session(key),
        lambda store, key: store.delete_user_sessions(ALICES),
        lambda store, key: store.rekey_user_session(key, make_session(), if_version=1),
    ],
    ids=["delete", "delete_many", "rekey"],
)
def test_a_delete_that_is_rolled_back_loses_no_session(orm, row, end):
    with rolled_back():
        end(orm, row.key)
        assert orm.get_user_session(row.key) is None
        assert in_another_thread(lambda: orm.get_user_session(row.key)) == row
    assert orm.get_user_session(row.key) == row


def test_a_delete_counts_when_it_is_committed(orm, row):
    with transaction.atomic():
        orm.delete_user_session(row.key)
        # Others may have it until then, and even a cache that forgets keeps nothing after it.
        caches["default"].clear()
        assert in_another_thread(lambda: orm.get_user_session(row.key)) == row
    assert orm.get_user_session(row.key) is None


def test_nothing_uncommitted_is_served_to_others(orm, row, cache):
    created = make_session()
    with rolled_back():
        orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
        orm.create_user_session(created)
        cache.clear()  # Also if the mark of this update is lost.
        assert orm.get_user_session(row.key).ticket == b"new"
        assert orm.get_user_session(created.key) == created
        assert in_another_thread(lambda: orm.get_user_session(row.key)) == row
        assert in_another_thread(lambda: orm.get_user_session(created.key)) is None
    assert orm.get_user_session(row.key) == row
    assert orm.get_user_session(created.key) is None


def test_what_was_read_in_a_transaction_is_cached_when_it_is_committed(orm):
    session = make_session()
    with transaction.atomic():
        orm.create_user_session(session)
        assert orm.get_user_session(session.key) == session
        assert not is_warm(orm, session.key)
    assert is_warm(orm, session.key)


def test_what_a_transaction_read_before_its_own_save_is_not_served_after_it(orm, row, cache):
    cache.clear()
    with transaction.atomic():
        assert orm.get_user_session(row.key) == row
        orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
        assert orm.get_user_session(row.key).ticket == b"new"
    assert orm.get_user_session(row.key).ticket == b"new"


def test_a_transaction_that_is_shown_the_past_does_not_put_it_into_the_cache(orm, row):
    orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
    with (
        transaction.atomic(),
        mock.patch.object(orm._inner, "get_user_session", lambda key: row),
    ):
        assert orm.get_user_session(row.key) == row
    assert orm.get_user_session(row.key).ticket == b"new"


def test_who_commits_by_hand_is_not_cached(orm, row):
    transaction.set_autocommit(False)
    try:
        orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
        assert orm.get_user_session(row.key).ticket == b"new"
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert orm.get_user_session(row.key).ticket == b"new"
    assert not is_warm(orm, row.key)


# A cache that fails


def test_a_cache_that_is_down_costs_no_more_than_a_log_line(ours, inner, clock, caplog):
    FakeCache.is_down = True
    session = make_session()
    ours.create_user_session(session)
    for _ in range(50):
        assert ours.get_user_session(session.key) == session
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "ConnectionError" in record.getMessage()
    assert FakeCache.calls == ["get_many"]  # It is left alone for a while.
    clock.seconds = 61
    ours.get_user_session(session.key)
    assert len(caplog.records) == 2
    FakeCache.is_down = False
    clock.seconds = 63
    ours.get_user_session(session.key)
    assert is_warm(ours, session.key)


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_a_cache_that_fails_half_way_is_no_error(ours, warm, cache, verb):
    if verb == "add":
        cache.clear()
    with mock.patch.object(FakeCache, verb, side_effect=ConnectionError):
        assert ours.get_user_session(warm.key) == warm
        assert ours.delete_user_session(warm.key) is True
    assert ours.get_user_session(warm.key) is None


def test_an_entry_that_cannot_be_opened_is_replaced(ours, warm, cache, settings):
    settings.SECRET_KEY = "another one, and long enough for it, too"
    assert not is_warm(ours, warm.key)
    assert ours.get_user_session(warm.key) == warm
    assert is_warm(ours, warm.key)
    cache.set(cached._names(warm.key)[0], "what is this?")
    assert ours.get_user_session(warm.key) == warm


def test_an_entry_copied_to_another_session_does_not_open(ours, warm, cache):
    other = make_session()
    ours.create_user_session(other)
    cache.set(cached._names(other.key)[0], cache.get(cached._names(warm.key)[0]))
    assert ours.get_user_session(other.key) == other


def test_asynchronous_requests_with_a_cache_in_the_database(transactional_db, settings):
    # Django's own cached_db fails here with SynchronousOnlyOperation.
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "test_session_cache",
        }
    }
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"}
    call_command("createcachetable", verbosity=0)

    async def requests():
        session = SessionStore()
        await session.aset("cart", [1])
        await session.asave()
        for _ in range(2):
            again = SessionStore(session.session_key)
            assert await again.aget("cart") == [1]
        assert await sync_is_warm(get_store(), session.store_key)
        await again.aset("cart", [2])
        await again.asave()
        assert await SessionStore(session.session_key).aget("cart") == [2]
        await again.aflush()
        assert await SessionStore(session.session_key).aget("cart") is None

    async def sync_is_warm(store, key):
        with mock.patch.object(store._inner, "get_user_session", side_effect=LookupError):
            return await store.aget_user_session(key) is not None

    try:
        async_to_sync(requests)()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE test_session_cache")


# The store behind it


def test_it_cleans_up_if_the_store_behind_it_does(cache):
    assert isinstance(CachedUserSessionStore(InMemoryUserSessionStore()), UserSessionStoreCleanup)
    assert not isinstance(CachedUserSessionStore(MinimalStore()), UserSessionStoreCleanup)


def test_clean_up_takes_what_it_removes_out_of_the_cache(ours, warm, inner, cache):
    inner.update_user_session(warm.key, update_of(warm, expires=warm.created), if_version=1)
    assert is_warm(ours, warm.key)  # By somebody who knows of no cache.
    batches = []
    assert ours.delete_expired_sessions(on_deleted=batches.append, sleep=0) == 1
    assert [session.key for (session,) in batches] == [warm.key]
    assert ours.get_user_session(warm.key) is None


def test_settings_say_what_is_behind_and_in_front(settings, cache):
    settings.BFF_SESSIONS = {
        "CACHED_STORE": "tests.stores.test_minimal.MinimalStore",
        "CACHE": "other",
        "MAX_STALE": 5,
    }
    store = CachedUserSessionStore()
    assert isinstance(store._inner, MinimalStore)
    assert (store._alias, store._max_stale) == ("other", 5)


def test_it_is_not_around_itself(settings):
    settings.BFF_SESSIONS = {
        "STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
        "CACHED_STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
    }
    with pytest.raises(ImproperlyConfigured, match="CACHED_STORE"):
        get_store()


def test_who_has_the_session_alone_reads_what_the_store_holds(ours, theirs, inner, warm):
    # A write of which the cache never heard.
    changed = replace(warm, ticket=b"changed")
    inner.update_user_session(warm.key, UserSessionUpdate.of(changed))
    assert ours.get_user_session(warm.key).ticket == warm.ticket
    assert theirs.acquire_lease(warm.key, "owner", 60)
    for store in (ours, theirs):
        assert store.get_user_session(warm.key).ticket == b"changed"
        assert not is_warm(store, warm.key)
    assert not ours.release_lease(warm.key, "somebody else")
    assert not is_warm(ours, warm.key)
    assert theirs.release_lease(warm.key, "owner")
    assert ours.get_user_session(warm.key).ticket == b"changed"
    assert is_warm(theirs, warm.key)
