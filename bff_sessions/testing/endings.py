"""Tests of tickets, and of what happens together with a delete."""

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

__all__ = ["EndingTests"]


class EndingTests(StoreTests):
    """Tickets open after every verb, and when a session ends."""

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
        """Yield a new session and what ends it, for each verb that deletes."""
        session = self.create_sealed()
        yield session, functools.partial(self.store.delete_user_session, session.key)
        session = self.create_sealed(subject_id="bob")
        filter = UserSessionsFilter(subject_id="bob")
        yield session, functools.partial(self.store.delete_user_sessions, filter)
        if self.has_ability(UserSessionStoreCleanup):
            session = self.create_sealed(expires=ago(1))
            yield session, functools.partial(self.store.delete_expired_sessions, sleep=0)

    def test_on_ending_gets_what_is_deleted_with_tickets_that_open(self) -> None:
        for session, delete in self.deletes():
            told: list[DeletedSession] = []
            delete(on_ending=told.extend)
            self.assertEqual(told, [DeletedSession.of(session)])
            self.check_opens(told[0])
            self.assertFalse(self.was_left(session))

    def test_on_ending_gets_the_ticket_that_is_deleted(self) -> None:
        for session, delete in self.deletes():
            changed = sealed(session, b"newer data")
            self.store.update_user_session(session.key, UserSessionUpdate.of(changed))
            told: list[DeletedSession] = []
            delete(on_ending=told.extend)
            self.assertEqual([one.ticket for one in told], [changed.ticket])

    def test_on_ending_is_not_called_for_what_is_not_deleted(self) -> None:
        self.create(subject_id="carol")
        told: list[Sequence[DeletedSession]] = []
        for key in (token_hex(32), "", "\0"):
            self.store.delete_user_session(key, on_ending=told.append)
        for session, delete in self.deletes():
            delete()
            delete(on_ending=told.append)
            self.assertFalse(self.was_left(session))
        self.assertEqual(told, [])

    def test_on_ending_gets_every_session_of_many(self) -> None:
        sessions = [self.create() for _ in range(3)]
        self.create(subject_id="bob")
        told: list[DeletedSession] = []
        filter = UserSessionsFilter(subject_id="alice")
        deleted = self.store.delete_user_sessions(filter, on_ending=told.extend)
        self.assertEqual({one.key for one in told}, {session.key for session in sessions})
        self.assertEqual(len(told), len(deleted))

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
            told: list[DeletedSession] = []
            delete = functools.partial(
                self.store.delete_user_session, session.key, on_ending=told.extend
            )
            filter = UserSessionsFilter(subject_id="alice")
            delete_many = functools.partial(
                self.store.delete_user_sessions, filter, on_ending=told.extend
            )
            results = self.race(delete, delete_many)
            self.assertFalse([one for one in results if isinstance(one, Exception)])
            # A store without transactions may tell of it again.
            self.assertEqual({one.key for one in told}, {session.key})
            if self.has_ability(UserSessionStoreTransactions):
                self.assertEqual(len(told), 1)
