"""Tests of leases."""

from __future__ import annotations

import functools
from secrets import token_hex

from bff_sessions.exceptions import SessionMissing
from bff_sessions.testing.fixtures import ago, impossible_keys, make_session
from bff_sessions.testing.harness import StoreTests


class UserSessionStoreLeasesTests(StoreTests):
    """Tests for a store that leases a session to one caller at a time."""

    def test_lease_of_a_key_that_no_session_has_is_refused(self) -> None:
        session = self.create()
        for key in impossible_keys(session.key):
            with self.assertRaises(SessionMissing):
                self.store.acquire_lease(key, "one", 60)
            self.assertIs(self.store.release_lease(key, "one"), False)

    def test_a_ticket_opens_though_its_session_has_a_lease(self) -> None:
        key = self.create_sealed().key
        self.store.acquire_lease(key, "owner", 60)
        self.check_opens(self.store.get_user_session(key))
        self.store.release_lease(key, "owner")
        self.check_opens(self.store.get_user_session(key))

    def test_a_lease_keeps_out_other_leases_only(self) -> None:
        session = self.create()
        self.assertIs(self.store.acquire_lease(session.key, "one", 60), True)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), False)
        self.assertIs(self.store.acquire_lease(session.key, "one", 60), True)
        self.assertEqual(self.store.get_user_session(session.key), session)
        self.store.update_user_session(session.key, self.update_of(session), if_version=1)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), False)
        self.assertIs(self.store.acquire_lease(self.create().key, "other", 60), True)

    def test_a_lease_is_released_by_its_owner_only(self) -> None:
        session = self.create()
        self.assertIs(self.store.release_lease(session.key, "one"), False)
        self.store.acquire_lease(session.key, "one", 60)
        self.assertIs(self.store.release_lease(session.key, "other"), False)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), False)
        self.assertIs(self.store.release_lease(session.key, "one"), True)
        self.assertIs(self.store.release_lease(session.key, "one"), False)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), True)

    def test_a_lease_expires_by_itself(self) -> None:
        session = self.create()
        self.store.acquire_lease(session.key, "one", 0)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), True)
        self.assertIs(self.store.release_lease(session.key, "one"), False)

    def test_a_lease_moves_with_its_session(self) -> None:
        session, moved = self.create(), make_session()
        self.store.acquire_lease(session.key, "one", 60)
        self.store.rekey_user_session(session.key, moved, if_version=1)
        self.assertIs(self.store.acquire_lease(moved.key, "other", 60), False)
        self.assertIs(self.store.release_lease(moved.key, "one"), True)

    def test_signed_out_is_out_for_a_lease(self) -> None:
        session = self.create()
        self.store.acquire_lease(session.key, "one", 60)
        self.store.delete_user_session(session.key)
        for owner in ("one", "other"):
            with self.assertRaises(SessionMissing):
                self.store.acquire_lease(session.key, owner, 60)
        self.assertIs(self.store.release_lease(session.key, "one"), False)
        self.assertIsNone(self.store.get_user_session(session.key))
        with self.assertRaises(SessionMissing):
            self.store.acquire_lease(self.create(expires=ago(1)).key, "one", 60)
        with self.assertRaises(SessionMissing):
            self.store.acquire_lease(token_hex(32), "one", 60)

    def test_one_of_two_leases_wins(self) -> None:
        for _ in range(5):
            session = self.create()
            results = self.race(
                functools.partial(self.store.acquire_lease, session.key, "one", 60),
                functools.partial(self.store.acquire_lease, session.key, "other", 60),
            )
            self.assertEqual(sorted(results), [False, True])
