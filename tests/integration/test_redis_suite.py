"""The tests of every store on the Redis store: one server, a Cluster, Sentinels."""

import pytest
from django.test import SimpleTestCase, override_settings

from bff_sessions.stores.redis import RedisUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreNoticesTests,
    UserSessionStoreTests,
)
from tests.support.loops import background_loop, in_loop

pytestmark = pytest.mark.processes
redis = pytest.importorskip("redis")


class _OnRedis(
    UserSessionStoreTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreNoticesTests,
):
    """All tests of a class use the connections of one store, and its twins run in one loop."""

    settings = {}
    shared = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.loop = cls.enterClassContext(background_loop())

    def make_store(self):
        settings = self.settings | {"REDIS": self.options}
        self.enterContext(override_settings(BFF_SESSIONS=settings))
        cls = type(self)
        cls.shared = cls.shared or RedisUserSessionStore()
        return cls.shared

    def to_sync(self, twin):
        return in_loop(self.loop)(twin)


class TestOneServer(_OnRedis, SimpleTestCase):
    @pytest.fixture(autouse=True)
    def server(self, redis_server):
        self.options = {"URL": redis_server.url}


class TestServerThatKeepsExpiredSessions(_OnRedis, UserSessionStoreCleanupTests, SimpleTestCase):
    settings = {"TOKEN_REVOCATION": {"EXPIRED_SESSIONS": True}}

    @pytest.fixture(autouse=True)
    def server(self, redis_server):
        self.options = {"URL": redis_server.url}


def resp3_client(*, asynchronous):
    package = redis.asyncio if asynchronous else redis
    return package.Redis.from_url(resp3_client.url, protocol=3)


class TestClientThatSpeaksResp3(_OnRedis, UserSessionStoreCleanupTests, SimpleTestCase):
    settings = {"TOKEN_REVOCATION": {"EXPIRED_SESSIONS": True}}

    @pytest.fixture(autouse=True)
    def server(self, redis_server):
        resp3_client.url = redis_server.url
        self.options = {"CLIENT": f"{__name__}.resp3_client"}


class TestCluster(_OnRedis, UserSessionStoreCleanupTests, SimpleTestCase):
    settings = {"TOKEN_REVOCATION": {"EXPIRED_SESSIONS": True}}

    @pytest.fixture(autouse=True)
    def server(self, redis_cluster):
        self.options = {"URL": [node.url for node in redis_cluster.nodes], "CLUSTER": True}


class TestSentinels(_OnRedis, SimpleTestCase):
    @pytest.fixture(autouse=True)
    def server(self, redis_sentinels):
        urls = [sentinel.url for sentinel in redis_sentinels.sentinels]
        self.options = {"URL": urls, "SENTINEL": redis_sentinels.name}
