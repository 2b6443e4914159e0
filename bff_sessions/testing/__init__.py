"""Helpers for the tests of a project, and the contract as a test suite, for authors of stores.

`sign_in()` signs a user in to a test client as a provider would. `Client` and `AsyncClient` stay
signed in when a test writes to their session. Import these yourself, because each needs a library:

- ``bff_sessions.testing.pytest_plugin``: fixtures for pytest-django;
- ``bff_sessions.testing.factories``: a factory of sessions for factory-boy;
- ``bff_sessions.testing.events``: security events of a provider, which need the extra ``oidc``.

The suite is for authors of stores:

    class MyStoreTests(UserSessionStoreTests, TransactionTestCase):
        def make_store(self):
            return MyStore()

For a store with abilities, also inherit their tests, for example `UserSessionStoreLeasesTests`.
Each test runs twice: with the verbs, and as ``<name>_async`` with their ``a…`` twins.

The suite needs configured Django settings: it encrypts tickets with SECRET_KEY. A store without
Django's database connections can use ``unittest.TestCase``. A store with them needs a
``TransactionTestCase``: the tests race in threads, and a refused write ends the transaction.
"""

from bff_sessions.testing.cleanup import UserSessionStoreCleanupTests
from bff_sessions.testing.clients import AsyncClient, Client, asign_in, sign_in
from bff_sessions.testing.devices import UserSessionStoreDevicesTests
from bff_sessions.testing.fixtures import altered, make_session, sealed
from bff_sessions.testing.leases import UserSessionStoreLeasesTests
from bff_sessions.testing.notices import UserSessionStoreNoticesTests
from bff_sessions.testing.store import UserSessionStoreTests
from bff_sessions.testing.transactions import UserSessionStoreTransactionsTests

__all__ = [
    "AsyncClient",
    "Client",
    "UserSessionStoreCleanupTests",
    "UserSessionStoreDevicesTests",
    "UserSessionStoreLeasesTests",
    "UserSessionStoreNoticesTests",
    "UserSessionStoreTests",
    "UserSessionStoreTransactionsTests",
    "altered",
    "asign_in",
    "make_session",
    "sealed",
    "sign_in",
]
