from unittest import TestCase
from django.test import TransactionTestCase
from django.core.cache import caches
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import UserSessionStoreTests


class TestAroundMemory(UserSessionStoreTests, TestCase):
    def make_store(self):
        caches["default"].clear()
        return CachedUserSessionStore(InMemoryUserSessionStore())


class TestAroundOrm(UserSessionStoreTests, TransactionTestCase):
    def make_store(self):
        caches["default"].clear()
        return CachedUserSessionStore(OrmUserSessionStore())
