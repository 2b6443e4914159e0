"""The contract's own tests, with a cache in front of each store."""

import os
from datetime import UTC, datetime, timedelta
from unittest import TestCase, skipUnless

import pytest
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.test import TransactionTestCase, override_settings

from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.cached.entries import entry_name
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTests,
    UserSessionStoreTransactionsTests,
)
from tests.support.caches import ALICES
from tests.support.minimal import MinimalStore
from tests.support.native_expiry import NativeExpiryStore

REDIS = os.environ.get("TEST_REDIS_URL")


class TestAroundMemory(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    TestCase,
):
    def make_store(self):
        return CachedUserSessionStore(InMemoryUserSessionStore())


class AroundOrm(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTransactionsTests,
):
    def make_store(self):
        return CachedUserSessionStore(OrmUserSessionStore())


@pytest.mark.thorough
class TestAroundOrm(AroundOrm, TransactionTestCase):
    pass


@pytest.mark.thorough
class TestAroundAMinimalStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return CachedUserSessionStore(MinimalStore())


@pytest.mark.thorough
class TestAroundAStoreWithNativeExpiry(UserSessionStoreTests, TestCase):
    def make_store(self):
        return CachedUserSessionStore(NativeExpiryStore())


@skipUnless(REDIS, "TEST_REDIS_URL names no server")
@override_settings(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS}
    }
)
class TestWithRedis(AroundOrm, TransactionTestCase):
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
        entry = entry_name(session.key)
        cache = caches["default"]
        seconds = cache._cache.get_client(entry).ttl(cache.make_key(entry))
        self.assertTrue(0 < seconds <= 10, seconds)


class WaitingRedisCache(RedisCache):
    """Any other class than Django's is told through Django's API, and waited for."""


@skipUnless(REDIS, "TEST_REDIS_URL names no server")
@pytest.mark.thorough
@override_settings(
    CACHES={"default": {"BACKEND": f"{__name__}.WaitingRedisCache", "LOCATION": REDIS}}
)
class TestWithRedisThatIsWaitedFor(TestWithRedis):
    pass
