"""Django's tests with our engine: subclassed, and rebound where they are hard-wired."""

from types import SimpleNamespace
from unittest import mock

from django.test import TestCase, override_settings
from sessions_tests import tests as django_tests

from bff_sessions import conf
from bff_sessions.engine import SessionStore
from bff_sessions.protection import store_key
from bff_sessions.stores import get_store

__all__ = ["MiddlewareTests", "NaiveSessionTests", "SessionTests"]


class SessionTests(django_tests.SessionTestsMixin, TestCase):
    backend = SessionStore


@override_settings(USE_TZ=False)
class NaiveSessionTests(SessionTests):
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


# Found by the loader as a global of this module, too, if it stayed one.
del TestCase
