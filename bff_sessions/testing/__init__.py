"""The contract as a test suite, for authors of stores.

    class MyStoreTests(UserSessionStoreTests, TransactionTestCase):
        def make_store(self):
            return MyStore()

A store with abilities inherits their tests too, `UserSessionStoreLeasesTests` for example. Every
test runs twice: through the verbs, and as ``<name>_async`` through their ``a…`` twins. Stores that
write through Django's connections need a ``TransactionTestCase``: the tests race with threads, and
a refused write ends the transaction around it.
"""

from bff_sessions.testing.cleanup import UserSessionStoreCleanupTests
from bff_sessions.testing.devices import UserSessionStoreDevicesTests
from bff_sessions.testing.fixtures import altered, make_session, sealed
from bff_sessions.testing.leases import UserSessionStoreLeasesTests
from bff_sessions.testing.store import UserSessionStoreTests
from bff_sessions.testing.transactions import UserSessionStoreTransactionsTests

__all__ = [
    "UserSessionStoreCleanupTests",
    "UserSessionStoreDevicesTests",
    "UserSessionStoreLeasesTests",
    "UserSessionStoreTests",
    "UserSessionStoreTransactionsTests",
    "altered",
    "make_session",
    "sealed",
]
