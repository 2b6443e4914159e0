from unittest import TestCase

from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import UserSessionStoreTests


class TestInMemoryUserSessionStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return InMemoryUserSessionStore()
