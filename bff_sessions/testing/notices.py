"""Tests of notices."""

from __future__ import annotations

from bff_sessions.contract import UserSessionStoreNotices
from bff_sessions.testing.harness import StoreTests

# Seconds in which a notice arrives, also on a slow machine.
_PATIENCE = 30.0


class UserSessionStoreNoticesTests(StoreTests):
    """A mixin with tests for a store that has `UserSessionStoreNotices`.

    A store that has the ability only on some servers is not tested on the others.
    """

    def _notices(self) -> UserSessionStoreNotices:
        notices = self._itself().get_ability(UserSessionStoreNotices)
        if notices is None:
            self.skipTest("The store has no notices here.")
        return notices

    def test_notice_wakes_up_all_who_listen(self) -> None:
        notices = self._notices()
        with notices.listen_for_notices() as first, notices.listen_for_notices() as second:
            notices.send_notice()
            self.assertIs(first(_PATIENCE), True)
            self.assertIs(second(_PATIENCE), True)

    def test_nobody_is_woken_up_without_a_notice(self) -> None:
        notices = self._notices()
        notices.send_notice()
        with notices.listen_for_notices() as wait:
            self.assertIs(wait(0.05), False)
            notices.send_notice()
            self.assertIs(wait(_PATIENCE), True)
            self.assertIs(wait(0.05), False)
