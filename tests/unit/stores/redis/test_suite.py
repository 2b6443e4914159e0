"""The tests of every store, with one server, and with a clean-up of expired sessions."""

from django.test import SimpleTestCase, override_settings

from bff_sessions.stores.redis import RedisUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTests,
)
from tests.support.redis import REDIS, empty


class _OnRedis(UserSessionStoreTests, UserSessionStoreDevicesTests, UserSessionStoreLeasesTests):
    options = {}

    def make_store(self):
        self.enterContext(override_settings(BFF_SESSIONS=self.options | {"REDIS": REDIS}))
        empty()
        return RedisUserSessionStore()


class TestRedisUserSessionStore(_OnRedis, SimpleTestCase):
    pass


class TestRedisThatKeepsExpiredSessions(_OnRedis, UserSessionStoreCleanupTests, SimpleTestCase):
    options = {"TOKEN_REVOCATION": {"EXPIRED_SESSIONS": True}}
