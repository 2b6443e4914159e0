"""Tests of verbs that have a default: saves, renewals, peeks, and callbacks after a commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from bff_sessions.contract import UserSessionStore
from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.testing.fixtures import ago, impossible_keys
from bff_sessions.testing.harness import StoreTests


class DefaultTests(StoreTests):
    """A store may override these verbs, and they mean the same."""

    def test_overwrite_of_the_version_that_was_read_succeeds(self) -> None:
        read = self.create()
        changes: list[dict[str, Any]] = [
            {"ticket": b"new"},
            {"subject_id": "bob", "expires": None},
            {"key": token_hex(32), "ticket": b"moved"},
        ]
        for fields in changes:
            changed = replace(read, **fields)
            version = self.store.overwrite_user_session(read, changed)
            self.assertEqual(version, read.version + 1)
            changed = replace(changed, version=version)
            if changed.key != read.key:
                self.assertIsNone(self.store.get_user_session(read.key))
            self.assertEqual(self.store.get_user_session(changed.key), changed)
            read = changed

    def test_overwrite_of_a_session_that_has_changed_fails(self) -> None:
        read = self.create()
        self.store.update_user_session(read.key, self.update_of(read, ticket=b"theirs"))
        for key in (read.key, token_hex(32)):
            with self.assertRaises(SessionChanged):
                self.store.overwrite_user_session(read, replace(read, key=key, ticket=b"mine"))
        current = self.store.get_user_session(read.key)
        assert current is not None
        self.assertEqual(current.ticket, b"theirs")

    def test_overwrite_of_a_session_that_was_deleted_creates_nothing(self) -> None:
        read = self.create()
        self.store.delete_user_session(read.key)
        for key in (read.key, token_hex(32)):
            with self.assertRaises(SessionMissing):
                self.store.overwrite_user_session(read, replace(read, key=key, ticket=b"mine"))
            self.assertIsNone(self.store.get_user_session(key))

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

    def test_a_touch_of_the_version_that_was_read_renews(self) -> None:
        session = self.create()
        renewed, expires = session.renewed + timedelta(minutes=5), session.expires
        self.assertIs(
            self.store.touch_user_session(
                session.key, renewed=renewed, expires=expires, if_version=1
            ),
            True,
        )
        found = self.store.get_user_session(session.key)
        assert found is not None
        self.assertEqual(found.renewed, renewed)

    def test_a_touch_of_a_session_that_has_changed_fails(self) -> None:
        session = self.create()
        shorter = datetime.now(UTC) + timedelta(minutes=5)
        self.store.update_user_session(session.key, self.update_of(session, expires=shorter))
        saved = self.store.get_user_session(session.key)
        with self.assertRaises(SessionChanged):
            self.store.touch_user_session(
                session.key, renewed=datetime.now(UTC), expires=None, if_version=1
            )
        self.assertEqual(self.store.get_user_session(session.key), saved)
        self.store.delete_user_session(session.key)
        renewed = datetime.now(UTC)
        self.assertIs(
            self.store.touch_user_session(session.key, renewed=renewed, expires=None, if_version=1),
            False,
        )

    def test_peek_returns_the_live_sessions_without_tickets(self) -> None:
        first, second, other = self.create(), self.create(subject_id="bob"), self.create()
        expired = self.create(expires=ago(1))
        keys = [first.key, second.key, expired.key, token_hex(32)]
        peeked = self.store.peek_user_sessions(keys)
        self.assertEqual(set(peeked), {first.key, second.key})
        for session in (first, second):
            self.assertEqual(peeked[session.key], replace(session, ticket=b""))
        self.store.delete_user_session(first.key)
        self.assertEqual(set(self.store.peek_user_sessions([first.key, other.key])), {other.key})

    def test_peek_follows_saves_and_moves(self) -> None:
        session = self.create()
        self.store.update_user_session(session.key, self.update_of(session, subject_id="bob"))
        [peeked] = self.store.peek_user_sessions([session.key]).values()
        self.assertEqual((peeked.subject_id, peeked.version), ("bob", 2))
        moved = replace(session, key=token_hex(32))
        self.store.rekey_user_session(session.key, moved, if_version=2)
        peeked = self.store.peek_user_sessions([session.key, moved.key])
        self.assertEqual(set(peeked), {moved.key})

    def test_peek_leaves_out_a_session_that_is_moving(self) -> None:
        seen: list[set[str]] = []
        session = self.create()
        moved = replace(session, key=token_hex(32))

        def peek(store: UserSessionStore) -> None:
            seen.append(set(store.peek_user_sessions([session.key, moved.key])))

        with self.meanwhile("create_user_session", peek, after=True):
            self.store.rekey_user_session(session.key, moved, if_version=1)
        # At most one of the two is live, at every moment.
        self.assertLessEqual(len(seen[0]), 1)

    def test_peek_at_keys_that_no_session_has_finds_nothing(self) -> None:
        session = self.create()
        self.assertEqual(self.store.peek_user_sessions([]), {})
        self.assertEqual(self.store.peek_user_sessions(impossible_keys(session.key)), {})

    def test_peek_takes_many_keys(self) -> None:
        sessions = [self.create() for _ in range(3)]
        keys = [session.key for session in sessions]
        crowd = [*(token_hex(32) for _ in range(1_100)), *keys]
        self.assertEqual(set(self.store.peek_user_sessions(crowd)), set(keys))

    def test_on_commit_calls_outside_a_transaction(self) -> None:
        called: list[int] = []
        self.store.on_commit(lambda: called.append(1))
        self.assertEqual(called, [1])
