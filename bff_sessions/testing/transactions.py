"""Tests of transactions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import connections, transaction

from bff_sessions.contract import (
    DeletedSession,
    UserSession,
    UserSessionsFilter,
    UserSessionStoreTransactions,
)
from bff_sessions.testing.endings import EndingTests
from bff_sessions.testing.fixtures import make_session


class UserSessionStoreTransactionsTests(EndingTests):
    """Tests for a store that takes part in the transactions of a Django database."""

    def test_writes_of_on_ending_are_committed_with_the_delete(self) -> None:
        using = self._itself().require_ability(UserSessionStoreTransactions).using
        for session, delete in self.deletes():
            note = make_session(subject_id="note")

            def write(batch: Sequence[DeletedSession], note: UserSession = note) -> None:
                self.assertTrue(connections[using].in_atomic_block)
                self._itself().create_user_session(note)

            def write_and_fail(batch: Sequence[DeletedSession], write: Any = write) -> None:
                write(batch)
                raise LookupError

            with self.assertRaises(LookupError):
                delete(on_ending=write_and_fail)
            self.assertIsNone(self.store.get_user_session(note.key))
            delete(on_ending=write)
            self.assertFalse(self.was_left(session))
            self.assertIsNotNone(self.store.get_user_session(note.key))

    def test_writes_of_on_ending_are_rolled_back_with_the_delete(self) -> None:
        using = self._itself().require_ability(UserSessionStoreTransactions).using
        # Not the twins: only this thread is in the transaction.
        store = self._itself()
        for session in (self.create(), self.create(subject_id="bob")):
            note = make_session(subject_id="note")

            def write(batch: Sequence[DeletedSession], note: UserSession = note) -> None:
                store.create_user_session(note)

            with suppress(LookupError), transaction.atomic(using=using):
                if session.subject_id == "bob":
                    filter = UserSessionsFilter(subject_id="bob")
                    self.assertEqual(len(store.delete_user_sessions(filter, on_ending=write)), 1)
                else:
                    self.assertTrue(store.delete_user_session(session.key, on_ending=write))
                raise LookupError
            self.assertIsNone(self.store.get_user_session(note.key))
            self.assertTrue(self.was_left(session))

    def test_on_commit_calls_after_the_commit_only(self) -> None:
        store = self._itself()  # Not the twins: only this thread is in the transaction.
        using = store.require_ability(UserSessionStoreTransactions).using
        called: list[str] = []
        with transaction.atomic(using=using):
            store.on_commit(lambda: called.append("committed"))
            self.assertEqual(called, [])
        with suppress(LookupError), transaction.atomic(using=using):
            store.on_commit(lambda: called.append("rolled back"))
            raise LookupError
        self.assertEqual(called, ["committed"])

    def test_a_write_is_rolled_back_with_the_transaction(self) -> None:
        store = self._itself()
        using = store.require_ability(UserSessionStoreTransactions).using
        session, new = self.create(), make_session()
        with suppress(LookupError), transaction.atomic(using=using):
            store.create_user_session(new)
            store.update_user_session(session.key, self.update_of(session, ticket=b"new"))
            raise LookupError
        self.assertIsNone(self.store.get_user_session(new.key))
        self.assertEqual(self.store.get_user_session(session.key), session)
