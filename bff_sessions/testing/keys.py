"""Tests of keys from outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex

from bff_sessions.contract import (
    UserSessionsFilter,
)
from bff_sessions.exceptions import SessionMissing
from bff_sessions.testing.fixtures import impossible_keys
from bff_sessions.testing.harness import StoreTests


class KeyTests(StoreTests):
    """Tests that a session with an unknown key is missing for every verb, and no other error."""

    def test_key_that_no_session_has_is_absent(self) -> None:
        session = self.create()
        for key in impossible_keys(session.key):
            self.assertIsNone(self.store.get_user_session(key))
            self.assertIs(self.store.delete_user_session(key), False)
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_write_under_a_key_that_no_session_has_is_refused(self) -> None:
        session = self.create()
        for key in impossible_keys(session.key):
            read, update = replace(session, key=key), self.update_of(session, ticket=b"new")
            for if_version in (None, session.version):
                with self.assertRaises(SessionMissing):
                    self.store.update_user_session(key, update, if_version=if_version)
            for new_key in (key, token_hex(32)):
                with self.assertRaises(SessionMissing):
                    self.store.overwrite_user_session(read, replace(read, key=new_key))
            moved = replace(session, key=token_hex(32))
            with self.assertRaises(SessionMissing):
                self.store.rekey_user_session(key, moved, if_version=session.version)
            self.assertIsNone(self.store.get_user_session(moved.key))
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_key_that_no_session_has_is_not_renewed(self) -> None:
        session, now = self.create(), datetime.now(UTC)
        for key in impossible_keys(session.key):
            self.assertIs(self.store.touch_user_session(key, renewed=now, expires=None), False)
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_excluding_a_key_that_no_session_has_spares_none(self) -> None:
        for key in impossible_keys(token_hex(32)):
            session = self.create()
            self.assertEqual(self.found(subject_id="alice", exclude_key=key), {session.key})
            filter = UserSessionsFilter(subject_id="alice", exclude_key=key)
            deleted = self.store.delete_user_sessions(filter)
            self.assertEqual([found.key for found in deleted], [session.key])
