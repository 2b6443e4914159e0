"""Tests of moves to another key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from secrets import token_hex

from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.testing.fixtures import ago, altered, make_session
from bff_sessions.testing.pages import PageTests

# Each verb that the default move calls, and whether the test acts before or after it.
_PAUSES = [
    (verb, after)
    for verb in ("update_user_session", "create_user_session", "delete_user_session")
    for after in (False, True)
]


ALICE = UserSessionsFilter(subject_id="alice")


class _InterruptedError(BaseException):
    """Stands for a signal or a cancelled task."""


class MoveTests(PageTests):
    """A session that moves is one session throughout."""

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

    @contextmanager
    def move_with(
        self, pause: tuple[str, bool], action: Callable[[UserSessionStore, UserSession], None]
    ) -> Iterator[tuple[UserSession, UserSession]]:
        """Move a session, and run `action` with the store and the session in `pause`.

        Give the session and the one to which it was to move, and delete both afterwards.
        """
        verb, after = pause
        session = self.create_sealed()
        moved = altered(session, key=token_hex(32))
        with self.subTest(verb=verb, after=after):
            with (
                suppress(_InterruptedError, SessionChanged, SessionMissing),
                self.meanwhile(verb, lambda store: action(store, session), after=after),
            ):
                self.store.rekey_user_session(session.key, moved, if_version=1)
            yield session, moved
        self.store.delete_user_sessions(ALICE)

    def test_a_rekey_does_not_lose_a_concurrent_save(self) -> None:
        saved: list[str] = []

        def save(store: UserSessionStore, session: UserSession) -> None:
            current = store.get_user_session(session.key)
            if current is not None and not current.is_moved:
                update = self.update_of(current, ticket=b"between")
                store.update_user_session(session.key, update, if_version=current.version)
                saved.append(session.key)

        for pause in _PAUSES:
            with self.move_with(pause, save) as (session, moved):
                found = map(self.read, (session.key, moved.key))
                tickets = [each.ticket for each in found if each is not None]
                expected = b"between" if session.key in saved else moved.ticket
                self.assertEqual(tickets, [expected])

    def test_a_move_that_is_interrupted_leaves_one_session_at_most(self) -> None:
        for pause in _PAUSES:
            with self.move_with(pause, _interrupt) as (session, moved):
                left = [key for key in (session.key, moved.key) if self.read(key) is not None]
                self.assertLessEqual(len(left), 1)
                self.assertEqual(self.found(subject_id="alice"), set(left))
                self.assertEqual({one.key for one in self.listed()}, set(left))
                renewed = self.store.touch_user_session(session.key, renewed=ago(0), expires=None)
                self.assertEqual(renewed, session.key in left)

    def test_a_move_that_cannot_create_the_session_restores_the_old_one(self) -> None:
        session, other = self.create(), self.create(subject_id="bob")
        moved = replace(session, key=other.key)
        with self.assertRaises(SessionExists):
            self.store.rekey_user_session(session.key, moved, if_version=1)
        left = self.read(session.key)
        assert left is not None
        self.assertEqual(left, replace(session, version=left.version))
        self.assertEqual(self.read(other.key), other)

    def test_signed_out_is_out_at_every_pause_of_a_move(self) -> None:
        def revoke(store: UserSessionStore, session: UserSession) -> None:
            for deleted in store.delete_user_sessions(ALICE):
                self.check_opens(deleted)

        for pause in _PAUSES:
            with self.move_with(pause, revoke) as (session, moved):
                for key in (session.key, moved.key):
                    self.assertIsNone(self.store.get_user_session(key))
                self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_if_a_move_is_interrupted_afterwards(self) -> None:
        def revoke(store: UserSessionStore) -> None:
            store.delete_user_sessions(ALICE)

        for number, (verb, after) in enumerate(_PAUSES):
            for later, later_after in _PAUSES[number + 1 :]:
                session, moved = self.create(), make_session()
                with (
                    self.subTest(revoked=(verb, after), interrupted=(later, later_after)),
                    suppress(_InterruptedError, SessionMissing),
                    self.meanwhile(later, _interrupt, after=later_after),
                    self.meanwhile(verb, revoke, after=after),
                ):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                self.assertEqual((self.read(session.key), self.read(moved.key)), (None, None))
                self.assertEqual(self.found(subject_id="alice"), set())

    def test_deleted_is_absent_at_every_pause_of_a_move(self) -> None:
        deleted: dict[str, bool] = {}

        def delete(store: UserSessionStore, session: UserSession) -> None:
            deleted[session.key] = store.delete_user_session(session.key)

        for pause in _PAUSES:
            with self.move_with(pause, delete) as (session, moved):
                self.assertIsNone(self.store.get_user_session(session.key))
                # If the delete found nothing, the move was complete.
                self.assertEqual(self.read(moved.key) is None, deleted[session.key])

    def test_one_of_two_moves_wins_at_every_pause(self) -> None:
        others: dict[str, UserSession] = {}

        def move(store: UserSessionStore, session: UserSession) -> None:
            other = others[session.key] = altered(session, key=token_hex(32))
            with suppress(SessionChanged, SessionMissing):
                store.rekey_user_session(session.key, other, if_version=1)

        for pause in _PAUSES:
            with self.move_with(pause, move) as (session, moved):
                keys = (session.key, moved.key, others[session.key].key)
                left = [key for key in keys if self.read(key)]
                self.assertEqual(len(left), 1)
                self.assertNotIn(session.key, left)

    def test_a_moving_session_is_listed_once_at_most(self) -> None:
        def look(store: UserSessionStore, session: UserSession) -> None:
            self.assertLessEqual(len(store.query_user_sessions(ALICE).sessions), 1)

        for pause in _PAUSES:
            with self.move_with(pause, look) as (_, moved):
                self.assertEqual([one.key for one in self.listed()], [moved.key])


def _interrupt(*args: object) -> None:
    raise _InterruptedError
