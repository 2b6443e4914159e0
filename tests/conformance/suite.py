"""Django's tests with our engine: subclassed, and rebound where they are hard-wired."""

from types import SimpleNamespace
from unittest import mock

from django.test import TestCase, override_settings
from sessions_tests import tests as django_tests

from bff_sessions import conf
from bff_sessions.engine import SessionStore
from bff_sessions.protection import store_key
from bff_sessions.stores import get_store

__all__ = [
    "MiddlewareTests",
    "NaiveSessionTests",
    "NativeExpiryMiddlewareTests",
    "NativeExpirySessionTests",
    "SessionTests",
]

NATIVE_EXPIRY = "tests.support.native_expiry.NativeExpiryStore"


class SessionTests(django_tests.SessionTestsMixin, TestCase):
    backend = SessionStore


@override_settings(USE_TZ=False)
class NaiveSessionTests(SessionTests):
    pass


@override_settings(BFF_SESSIONS={"STORE": NATIVE_EXPIRY})
class NativeExpirySessionTests(SessionTests):
    """On a store that forgets expired sessions at once."""


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


# Found by the loader as a global of this module, too, if it stayed one.
del TestCase
