"""Tests of tickets, and of the `on_ending` of deletes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from bff_sessions.contract import (
    DeletedSession,
    UserSession,
    UserSessionsFilter,
    UserSessionStoreCleanup,
    UserSessionStoreTransactions,
    UserSessionUpdate,
)
from bff_sessions.testing.fixtures import ago, altered, sealed
from bff_sessions.testing.harness import StoreTests


class EndingTests(StoreTests):
    """Tickets open after every verb, and in `on_ending`."""

    def test_a_ticket_opens_after_every_verb(self) -> None:
        old = self.create_sealed()
        self.check_opens(self.store.get_user_session(old.key))
        now = datetime.now(UTC)
        self.store.touch_user_session(old.key, renewed=now, expires=now + timedelta(hours=2))
        self.check_opens(self.store.get_user_session(old.key))
        read = self.store.get_user_session(old.key)
        changed = altered(read, subject_id="bob", session_id=None, sign_in_id=token_hex(16))
        self.store.update_user_session(old.key, UserSessionUpdate.of(changed))
        read = self.store.get_user_session(old.key)
        self.check_opens(read)
        self.store.overwrite_user_session(read, altered(read, issuer=None, user_id="7"))
        read = self.store.get_user_session(old.key)
        self.check_opens(read)
        moved = altered(read, key=token_hex(32), created=ago(100))
        self.store.rekey_user_session(read.key, moved, if_version=read.version)
        self.check_opens(self.store.get_user_session(moved.key))
        for session in self.store.get_user_sessions(UserSessionsFilter(subject_id="bob")):
            self.check_opens(session)
        [deleted] = self.store.delete_user_sessions(UserSessionsFilter(subject_id="bob"))
        self.check_opens(deleted)

    def deletes(self) -> Iterator[tuple[UserSession, Callable[..., Any]]]:
        """Yield a new session and the call that deletes it, for each verb that deletes."""
        session = self.create_sealed()
        yield session, functools.partial(self.store.delete_user_session, session.key)
        session = self.create_sealed(subject_id="bob")
        filter = UserSessionsFilter(subject_id="bob")
        yield session, functools.partial(self.store.delete_user_sessions, filter)
        if self.has_ability(UserSessionStoreCleanup):
            session = self.create_sealed(expires=ago(1))
            yield session, functools.partial(self.store.delete_expired_sessions, sleep=0)

    def test_on_ending_gets_deleted_sessions_with_tickets_that_open(self) -> None:
        for session, delete in self.deletes():
            ended: list[DeletedSession] = []
            delete(on_ending=ended.extend)
            self.assertEqual(ended, [DeletedSession.of(session)])
            self.check_opens(ended[0])
            self.assertFalse(self.was_left(session))

    def test_on_ending_gets_the_ticket_that_is_deleted(self) -> None:
        for session, delete in self.deletes():
            changed = sealed(session, b"newer data")
            self.store.update_user_session(session.key, UserSessionUpdate.of(changed))
            ended: list[DeletedSession] = []
            delete(on_ending=ended.extend)
            self.assertEqual([one.ticket for one in ended], [changed.ticket])

    def test_on_ending_is_not_called_if_nothing_is_deleted(self) -> None:
        self.create(subject_id="carol")
        batches: list[Sequence[DeletedSession]] = []
        for key in (token_hex(32), "", "\0"):
            self.store.delete_user_session(key, on_ending=batches.append)
        for session, delete in self.deletes():
            delete()
            delete(on_ending=batches.append)
            self.assertFalse(self.was_left(session))
        self.assertEqual(batches, [])

    def test_on_ending_gets_every_session_of_many(self) -> None:
        sessions = [self.create() for _ in range(3)]
        self.create(subject_id="bob")
        ended: list[DeletedSession] = []
        filter = UserSessionsFilter(subject_id="alice")
        deleted = self.store.delete_user_sessions(filter, on_ending=ended.extend)
        self.assertEqual({one.key for one in ended}, {session.key for session in sessions})
        self.assertEqual(len(ended), len(deleted))

    def test_on_ending_that_raises_leaves_the_session(self) -> None:
        def fail(batch: Sequence[DeletedSession]) -> None:
            raise LookupError

        for session, delete in self.deletes():
            with self.assertRaises(LookupError):
                delete(on_ending=fail)
            self.assertTrue(self.was_left(session))

    def test_on_ending_of_two_deletes_gets_each_session_once(self) -> None:
        for _ in range(5):
            session = self.create()
            ended: list[DeletedSession] = []
            delete = functools.partial(
                self.store.delete_user_session, session.key, on_ending=ended.extend
            )
            filter = UserSessionsFilter(subject_id="alice")
            delete_many = functools.partial(
                self.store.delete_user_sessions, filter, on_ending=ended.extend
            )
            results = self.race(delete, delete_many)
            self.assertFalse([one for one in results if isinstance(one, Exception)])
            # A store without transactions may call on_ending twice.
            self.assertEqual({one.key for one in ended}, {session.key})
            if self.has_ability(UserSessionStoreTransactions):
                self.assertEqual(len(ended), 1)
