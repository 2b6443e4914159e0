"""Django's tests with our engine: subclassed, and rebound where they are hard-wired."""

from types import SimpleNamespace
from unittest import SkipTest, mock

from django.test import TestCase, override_settings
from sessions_tests import tests as django_tests

from bff_sessions import conf
from bff_sessions.engine import SessionStore
from bff_sessions.protection import store_key
from bff_sessions.stores import get_store
from tests.support.redis_fixtures import find_program
from tests.support.redis_servers import RedisServer

__all__ = [
    "MiddlewareTests",
    "NaiveSessionTests",
    "NativeExpiryMiddlewareTests",
    "NativeExpirySessionTests",
    "RedisMiddlewareTests",
    "RedisSessionTests",
    "SessionTests",
]

NATIVE_EXPIRY = "tests.support.native_expiry.NativeExpiryStore"
REDIS = "bff_sessions.stores.redis.RedisUserSessionStore"


class SessionTests(django_tests.SessionTestsMixin, TestCase):
    backend = SessionStore


@override_settings(USE_TZ=False)
class NaiveSessionTests(SessionTests):
    pass


@override_settings(BFF_SESSIONS={"STORE": NATIVE_EXPIRY})
class NativeExpirySessionTests(SessionTests):
    """On a store that forgets expired sessions at once."""


class OnRedis:
    """On a server of Redis or Valkey that the class starts."""

    @classmethod
    def setUpClass(cls):
        program = find_program()
        if program is None:
            raise SkipTest("redis-server is not installed.")
        server = cls.enterClassContext(RedisServer(program=program))
        store = {"STORE": REDIS, "REDIS": {"URL": server.url}}
        cls.enterClassContext(override_settings(BFF_SESSIONS=store))
        super().setUpClass()


class RedisSessionTests(OnRedis, SessionTests):
    pass


class SessionLookup:
    """Stands for ``Session`` in the test of the middleware: objects.get().get_decoded()."""

    @property
    def objects(self):
        return self

    def get(self, session_key):
        assert get_store().get_user_session(store_key(conf.PARTITION, session_key)) is not None
        return SimpleNamespace(get_decoded=SessionStore(session_key).load)


class MiddlewareTests(django_tests.SessionMiddlewareTests):
    def setUp(self):
        super().setUp()
        for name, ours in {"DatabaseSession": SessionStore, "Session": SessionLookup()}.items():
            patch = mock.patch.object(django_tests, name, ours)
            patch.start()
            self.addCleanup(patch.stop)


@override_settings(BFF_SESSIONS={"STORE": NATIVE_EXPIRY})
class NativeExpiryMiddlewareTests(MiddlewareTests):
    pass


class RedisMiddlewareTests(OnRedis, MiddlewareTests):
    pass


# Found by the loader as a global of this module, too, if it stayed one.
del TestCase
