"""Tests of devices."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex

from bff_sessions.contract import (
    DeletedSession,
    Device,
    UserSessionsFilter,
)
from bff_sessions.testing.fixtures import ago, impossible_keys
from bff_sessions.testing.harness import StoreTests


class UserSessionStoreDevicesTests(StoreTests):
    """Tests for a store that records which browser used a session."""

    def test_a_device_is_stored_beside_the_session(self) -> None:
        session = self.create(expires=None)
        first, second = ago(90), ago(30)
        device = Device(user_agent="x" * 255, address="2001:db8:1::/48")
        self.assertIs(self.store.note_device(session.key, seen=first, device=device), True)
        expected = replace(
            session, user_agent=device.user_agent, address=device.address, last_seen=first
        )
        self.assertEqual(self.store.get_user_session(session.key), expected)
        # Another request has recorded a use since last_seen was read.
        self.assertIs(self.store.note_device(session.key, seen=second), False)
        self.assertEqual(self.store.get_user_session(session.key), expected)
        self.assertIs(self.store.note_device(session.key, seen=second, if_seen=first), True)
        expected = replace(expected, last_seen=second)
        self.assertEqual(self.store.get_user_session(session.key), expected)
        self.store.update_user_session(session.key, self.update_of(session), if_version=1)
        expected = replace(expected, version=2)
        self.assertEqual(self.store.get_user_session(session.key), expected)
        moved = replace(expected, key=token_hex(32))
        # The caller read the session before its use was recorded.
        self.store.rekey_user_session(session.key, replace(session, key=moved.key), if_version=2)
        self.assertEqual(self.store.get_user_session(moved.key), replace(moved, version=3))
        self.store.note_device(moved.key, seen=first, if_seen=second, device=Device())
        found = self.store.get_user_session(moved.key)
        self.assertEqual(
            found, replace(moved, version=3, last_seen=first, user_agent=None, address=None)
        )

    def test_signed_out_is_out_for_a_device(self) -> None:
        session, expired = self.create(), self.create(expires=ago(1))
        self.store.delete_user_session(session.key)
        for key in (session.key, expired.key, token_hex(32)):
            noted = self.store.note_device(key, seen=datetime.now(UTC), device=Device())
            self.assertIs(noted, False)
            self.assertIsNone(self.store.get_user_session(key))

    def test_key_that_no_session_has_gets_no_device(self) -> None:
        session, now = self.create(), datetime.now(UTC)
        for key in impossible_keys(session.key):
            self.assertIs(self.store.note_device(key, seen=now, device=Device()), False)
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_a_ticket_opens_after_a_device_was_recorded(self) -> None:
        session = self.create_sealed()
        device = Device(user_agent="Firefox", address="192.0.2.0/24")
        self.store.note_device(session.key, seen=ago(5), device=device)
        self.check_opens(self.store.get_user_session(session.key))

    def test_deleted_session_has_its_device(self) -> None:
        ended: list[DeletedSession] = []
        device = Device(user_agent="Firefox", address="192.0.2.0/24")
        one, other = self.create(), self.create()
        for session in (one, other):
            self.store.note_device(session.key, seen=ago(5), device=device)
        self.store.delete_user_session(one.key, on_ending=ended.extend)
        ended += self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        self.assertEqual({session.key for session in ended}, {one.key, other.key})
        for deleted in ended:
            self.assertEqual((deleted.user_agent, deleted.address), ("Firefox", "192.0.2.0/24"))

    def test_pages_list_devices(self) -> None:
        session = self.create()
        self.store.note_device(session.key, seen=ago(5), device=Device(address="192.0.2.0/24"))
        current = self.store.get_user_session(session.key)
        page = self.store.query_user_sessions(UserSessionsFilter(subject_id="alice"))
        self.assertEqual(page.sessions, [replace(current, ticket=b"")])
