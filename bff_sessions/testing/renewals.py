"""Tests of renewals, and of callbacks after a commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex

from bff_sessions.testing.fixtures import ago
from bff_sessions.testing.harness import StoreTests


class RenewalTests(StoreTests):
    """A renewal changes nothing else, and never revives a session."""

    def test_a_touch_renews_and_keeps_the_rest(self) -> None:
        session = self.create()
        renewed = session.renewed + timedelta(minutes=5)
        for expires in (session.renewed + timedelta(hours=2), None):
            self.assertIs(
                self.store.touch_user_session(session.key, renewed=renewed, expires=expires), True
            )
            found = self.store.get_user_session(session.key)
            expected = replace(session, renewed=renewed, expires=expires, version=found.version)
            self.assertEqual(found, expected)

    def test_a_touch_of_a_missing_or_expired_session_does_nothing(self) -> None:
        expired = self.create(expires=ago(1))
        for key in (expired.key, token_hex(32)):
            renewed = datetime.now(UTC)
            self.assertIs(self.store.touch_user_session(key, renewed=renewed, expires=None), False)
            self.assertIsNone(self.store.get_user_session(key))

    def test_on_commit_calls_outside_a_transaction(self) -> None:
        called: list[int] = []
        self.store.on_commit(lambda: called.append(1))
        self.assertEqual(called, [1])
