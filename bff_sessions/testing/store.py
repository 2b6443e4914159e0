"""The tests that every store passes."""

from __future__ import annotations

from typing import Final

from bff_sessions.contract import (
    UserSessionStoreCleanup,
    UserSessionStoreDevices,
    UserSessionStoreLeases,
    UserSessionStoreNotices,
    UserSessionStoreTransactions,
)
from bff_sessions.testing.cleanup import UserSessionStoreCleanupTests
from bff_sessions.testing.defaults import DefaultTests
from bff_sessions.testing.devices import UserSessionStoreDevicesTests
from bff_sessions.testing.endings import EndingTests
from bff_sessions.testing.filters import FilterTests
from bff_sessions.testing.keys import KeyTests
from bff_sessions.testing.leases import UserSessionStoreLeasesTests
from bff_sessions.testing.moves import MoveTests
from bff_sessions.testing.notices import UserSessionStoreNoticesTests
from bff_sessions.testing.races import RaceTests
from bff_sessions.testing.transactions import UserSessionStoreTransactionsTests
from bff_sessions.testing.verbs import VerbTests

_ABILITIES: Final = {
    UserSessionStoreCleanup: UserSessionStoreCleanupTests,
    UserSessionStoreDevices: UserSessionStoreDevicesTests,
    UserSessionStoreLeases: UserSessionStoreLeasesTests,
    UserSessionStoreNotices: UserSessionStoreNoticesTests,
    UserSessionStoreTransactions: UserSessionStoreTransactionsTests,
}


class UserSessionStoreTests(
    VerbTests, FilterTests, KeyTests, MoveTests, DefaultTests, EndingTests, RaceTests
):
    """A mixin with the tests of the six verbs, and of the defaults that use them.

    The tests do not check what happens to an expired session before clean-up, which the store
    decides.
    """

    def test_every_ability_is_tested(self) -> None:
        for ability, tests in _ABILITIES.items():
            if self.has_ability(ability):
                self.assertIsInstance(
                    self, tests, f"The store has {ability.__name__}: inherit {tests.__name__}, too."
                )
