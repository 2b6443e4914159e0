"""Tests of moves to another key, and of renewals."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.testing.fixtures import ago, altered, make_session
from bff_sessions.testing.pages import PageTests

__all__ = ["MoveTests"]


# Each verb that the default move calls, and whether the test acts before or after it.
_PAUSES = [
    (verb, after)
    for verb in ("update_user_session", "create_user_session", "delete_user_session")
    for after in (False, True)
]


class _InterruptedError(BaseException):
    """Stands for a signal or a cancelled task."""


class MoveTests(PageTests):
    """A session that moves or is renewed is one session throughout."""

    def test_a_rekeyed_session_moves_with_everything(self) -> None:
        session = self.create()
        moved = replace(make_session(), subject_id="bob", issuer=None, expires=None)
        version = self.store.rekey_user_session(session.key, moved, if_version=1)
        self.assertEqual(version, 2)
        self.assertIsNone(self.store.get_user_session(session.key))
        self.assertEqual(self.store.get_user_session(moved.key), replace(moved, version=2))
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_a_rekey_of_a_missing_session_fails_and_creates_nothing(self) -> None:
        moved = make_session()
        with self.assertRaises(SessionMissing):
            self.store.rekey_user_session(token_hex(32), moved, if_version=1)
        self.assertIsNone(self.store.get_user_session(moved.key))

    def test_a_rekey_of_a_moved_version_fails_and_changes_nothing(self) -> None:
        session = self.create()
        self.store.update_user_session(session.key, self.update_of(session, ticket=b"theirs"))
        moved = make_session()
        with self.assertRaises(SessionChanged):
            self.store.rekey_user_session(session.key, moved, if_version=1)
        self.assertIsNone(self.store.get_user_session(moved.key))
        self.assertEqual(self.store.get_user_session(session.key).ticket, b"theirs")

    def test_a_rekey_onto_a_taken_key_fails(self) -> None:
        session, other = self.create(), self.create(subject_id="bob")
        with self.assertRaises(SessionExists):
            self.store.rekey_user_session(
                session.key, replace(session, key=other.key), if_version=1
            )
        self.assertEqual(self.store.get_user_session(other.key), other)
        self.assertIsNotNone(self.store.get_user_session(session.key))

    def test_a_rekey_does_not_lose_a_concurrent_save(self) -> None:
        for verb, after in _PAUSES:
            session, moved = self.create(), make_session()
            saved: list[UserSessionUpdate] = []

            def save(
                store: UserSessionStore,
                key: str = session.key,
                saved: list[UserSessionUpdate] = saved,
            ) -> None:
                current = store.get_user_session(key)
                if current is not None and not current.is_moved:
                    update = self.update_of(current, ticket=b"between")
                    store.update_user_session(key, update, if_version=current.version)
                    saved.append(update)

            with self.subTest(verb=verb, after=after):
                with self.meanwhile(verb, save, after=after), suppress(SessionChanged):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                old, new = self.read(session.key), self.read(moved.key)
                tickets = [each.ticket for each in (old, new) if each is not None]
                self.assertEqual(tickets, [b"between" if saved else moved.ticket])

    def test_a_move_that_is_interrupted_leaves_one_session_at_most(self) -> None:
        def interrupt(store: UserSessionStore) -> None:
            raise _InterruptedError

        for verb, after in _PAUSES:
            session, moved = self.create(), make_session()
            with (
                self.subTest(verb=verb, after=after),
                suppress(_InterruptedError),
                self.meanwhile(verb, interrupt, after=after),
            ):
                self.store.rekey_user_session(session.key, moved, if_version=1)
            with self.subTest(verb=verb, after=after):
                left = [key for key in (session.key, moved.key) if self.read(key) is not None]
                self.assertLessEqual(len(left), 1)
                self.assertEqual(self.found(subject_id="alice"), set(left))
                self.assertEqual({one.key for one in self.listed()}, set(left))
                renewed = self.store.touch_user_session(session.key, renewed=ago(0), expires=None)
                self.assertEqual(renewed, session.key in left)
            self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))

    def test_a_move_that_cannot_create_the_session_restores_the_old_one(self) -> None:
        session, other = self.create(), self.create(subject_id="bob")
        with self.assertRaises(SessionExists):
            self.store.rekey_user_session(
                session.key, replace(session, key=other.key), if_version=1
            )
        left = self.read(session.key)
        assert left is not None
        self.assertEqual(left, replace(session, version=left.version))
        self.assertEqual(self.read(other.key), other)

    def test_signed_out_is_out_at_every_pause_of_a_move(self) -> None:
        def revoke(store: UserSessionStore) -> None:
            for deleted in store.delete_user_sessions(UserSessionsFilter(subject_id="alice")):
                self.check_opens(deleted)

        for verb, after in _PAUSES:
            session = self.create_sealed()
            moved = altered(session, key=token_hex(32))
            with self.subTest(verb=verb, after=after):
                with self.meanwhile(verb, revoke, after=after), suppress(SessionMissing):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                for key in (session.key, moved.key):
                    self.assertIsNone(self.store.get_user_session(key))
                self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_if_a_move_is_interrupted_afterwards(self) -> None:
        def revoke(store: UserSessionStore) -> None:
            store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))

        def interrupt(store: UserSessionStore) -> None:
            raise _InterruptedError

        for number, (verb, after) in enumerate(_PAUSES):
            for later, later_after in _PAUSES[number + 1 :]:
                session, moved = self.create(), make_session()
                with (
                    self.subTest(revoked=(verb, after), interrupted=(later, later_after)),
                    suppress(_InterruptedError, SessionMissing),
                    self.meanwhile(later, interrupt, after=later_after),
                    self.meanwhile(verb, revoke, after=after),
                ):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                self.assertEqual((self.read(session.key), self.read(moved.key)), (None, None))
                self.assertEqual(self.found(subject_id="alice"), set())

    def test_deleted_is_absent_at_every_pause_of_a_move(self) -> None:
        for verb, after in _PAUSES:
            session, moved = self.create(), make_session()
            deleted: list[bool] = []

            def delete(
                store: UserSessionStore,
                key: str = session.key,
                deleted: list[bool] = deleted,
            ) -> None:
                deleted.append(store.delete_user_session(key))

            with self.subTest(verb=verb, after=after):
                with self.meanwhile(verb, delete, after=after), suppress(SessionMissing):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                self.assertIsNone(self.store.get_user_session(session.key))
                # If the delete found nothing, the move was complete.
                self.assertEqual(self.read(moved.key) is None, deleted[0])

    def test_one_of_two_moves_wins_at_every_pause(self) -> None:
        for verb, after in _PAUSES:
            session, moved, other = self.create(), make_session(), make_session()
            results: list[Any] = []

            def move(
                store: UserSessionStore,
                key: str = session.key,
                other: UserSession = other,
                results: list[Any] = results,
            ) -> None:
                try:
                    results.append(store.rekey_user_session(key, other, if_version=1))
                except (SessionChanged, SessionMissing):
                    results.append(None)

            with self.subTest(verb=verb, after=after):
                with self.meanwhile(verb, move, after=after):
                    try:
                        results.append(
                            self.store.rekey_user_session(session.key, moved, if_version=1)
                        )
                    except (SessionChanged, SessionMissing):
                        results.append(None)
                self.assertEqual(sorted(map(bool, results)), [False, True])
                left = [key for key in (session.key, moved.key, other.key) if self.read(key)]
                self.assertEqual(len(left), 1)
                self.assertNotIn(session.key, left)
            self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))

    def test_a_moving_session_is_listed_once_at_most(self) -> None:
        for verb, after in _PAUSES:
            session, moved = self.create(), make_session()
            with self.subTest(verb=verb, after=after):

                def look(store: UserSessionStore) -> None:
                    filter = UserSessionsFilter(subject_id="alice")
                    self.assertLessEqual(len(store.query_user_sessions(filter).sessions), 1)

                with self.meanwhile(verb, look, after=after):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                self.assertEqual([one.key for one in self.listed()], [moved.key])
            self.store.delete_user_session(moved.key)

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
