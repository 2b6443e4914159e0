from unittest import TestCase

from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTests,
)


class TestInMemoryUserSessionStore(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    TestCase,
):
    def make_store(self):
        return InMemoryUserSessionStore()
