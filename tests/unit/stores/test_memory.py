from unittest import TestCase, mock

from bff_sessions.contract import UserSessionStore, UserSessionStoreLeases
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTests,
)
from bff_sessions.testing.fixtures import make_session


class TestInMemoryUserSessionStore(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    TestCase,
):
    def make_store(self):
        return InMemoryUserSessionStore()


class MovesByDefault(InMemoryUserSessionStore):
    rekey_user_session = UserSessionStore.rekey_user_session

    def move_lease(self, key, new_key):
        if key in self._leases:
            self._leases[new_key] = self._leases.pop(key)


class TestLeasesOfDefaultMoves(UserSessionStoreLeasesTests, TestCase):
    def make_store(self):
        return MovesByDefault()

    def test_store_that_moves_no_lease_keeps_the_session_at_its_old_key(self):
        with mock.patch.object(MovesByDefault, "move_lease", UserSessionStoreLeases.move_lease):
            session, moved = self.create(), make_session()
            with self.assertRaisesRegex(
                NotImplementedError, "MovesByDefault must define move_lease"
            ):
                self.store.rekey_user_session(session.key, moved, if_version=1)
            self.assertIsNotNone(self.read(session.key))
            self.assertIsNone(self.store.get_user_session(moved.key))
