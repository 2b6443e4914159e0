"""Tests of clean-up."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bff_sessions.contract import (
    DeletedSession,
)
from bff_sessions.exceptions import SessionMissing
from bff_sessions.testing.fixtures import ago
from bff_sessions.testing.harness import StoreTests


class UserSessionStoreCleanupTests(StoreTests):
    """Tests for a store that holds expired sessions until it is cleaned up."""

    def test_a_ticket_opens_after_clean_up(self) -> None:
        self.create_sealed(expires=ago(1))
        deleted: list[DeletedSession] = []
        self.store.delete_expired_sessions(on_deleted=deleted.extend)
        self.assertEqual(len(deleted), 1)
        self.check_opens(deleted[0])

    def test_on_ending_gets_every_batch_of_a_clean_up(self) -> None:
        keys = {self.create(expires=ago(1)).key for _ in range(3)}
        self.create()
        ended: list[DeletedSession] = []
        counts: list[int] = []
        self.store.delete_expired_sessions(
            batch_size=2,
            sleep=0,
            on_deleted=lambda batch: counts.append(len(batch)),
            with_tickets=False,
            on_ending=ended.extend,
        )
        self.assertEqual({one.key for one in ended}, keys)
        self.assertTrue(all(one.ticket for one in ended))
        self.assertEqual(sum(counts), 3)

    def test_clean_up_deletes_expired_sessions_only(self) -> None:
        expired = {self.create(expires=ago(age)).key for age in (1, 10, 100)}
        live = {self.create().key, self.create(expires=None).key}
        batches: list[list[str]] = []
        number = self.store.delete_expired_sessions(
            batch_size=2, sleep=0, on_deleted=lambda batch: batches.append([s.key for s in batch])
        )
        self.assertEqual(number, 3)
        self.assertEqual([len(batch) for batch in batches], [2, 1])
        self.assertEqual({key for batch in batches for key in batch}, expired)
        self.assertEqual(self.found(subject_id="alice"), live)
        for key in expired:
            self.assertIs(self.store.delete_user_session(key), False)

    def test_late_clean_up_is_found(self) -> None:
        self.create(expires=ago(10))
        self.create()
        self.create(expires=None)
        self.assertIs(self.store.has_expired_before(ago(5)), True)
        self.assertIs(self.store.has_expired_before(ago(15)), False)
        self.assertEqual(self.store.delete_expired_sessions(), 1)
        self.assertIs(self.store.has_expired_before(ago(5)), False)

    def test_clean_up_reports_what_it_deleted(self) -> None:
        session = self.create(expires=ago(1))
        batches: list[Sequence[DeletedSession]] = []
        self.store.delete_expired_sessions(on_deleted=batches.append)
        self.assertEqual([list(batch) for batch in batches], [[DeletedSession.of(session)]])
        # Without tickets the store may read less, and reports the same sessions.
        session = self.create(expires=ago(1))
        self.store.delete_expired_sessions(on_deleted=batches.append, with_tickets=False)
        [deleted] = batches[1]
        self.assertEqual(replace(deleted, ticket=session.ticket), DeletedSession.of(session))

    def test_clean_up_of_one_partition(self) -> None:
        other = self.create(partition="other", expires=ago(1))
        self.create(partition="mine", expires=ago(1))
        self.assertEqual(self.store.delete_expired_sessions(partition="mine"), 1)
        self.assertIs(self.store.delete_user_session(other.key), True)

    def test_a_dry_run_counts_and_deletes_nothing(self) -> None:
        session = self.create(expires=ago(1))
        self.create()
        self.assertEqual(self.store.delete_expired_sessions(dry_run=True), 1)
        self.assertIs(self.store.delete_user_session(session.key), True)

    def test_clean_up_stops_if_should_stop_returns_true(self) -> None:
        for _ in range(3):
            self.create(expires=ago(1))
        batches: list[Any] = []
        number = self.store.delete_expired_sessions(
            batch_size=1, on_deleted=batches.append, should_stop=lambda: len(batches) >= 2
        )
        self.assertEqual(number, 2)
        self.assertEqual(self.store.delete_expired_sessions(max_seconds=0), 0)
        self.assertEqual(self.store.delete_expired_sessions(), 1)

    def test_clean_up_refuses_numbers_out_of_range(self) -> None:
        for arguments in (
            {"batch_size": 0},
            {"batch_size": 10**9},
            {"max_seconds": -1},
            {"sleep": -1},
        ):
            with self.subTest(arguments=arguments), self.assertRaises(ValueError):
                self.store.delete_expired_sessions(**arguments)

    def test_two_clean_ups_delete_each_session_once(self) -> None:
        for _ in range(20):
            self.create(expires=ago(1))
        clean_up = functools.partial(self.store.delete_expired_sessions, batch_size=3, sleep=0)
        self.assertEqual(sum(self.race(clean_up, clean_up)), 20)

    def test_clean_up_spares_a_session_that_is_renewed_meanwhile(self) -> None:
        for _ in range(5):
            session = self.create(expires=ago(1))
            renewal = self.update_of(session, expires=None)
            renewed, number = self.race(
                functools.partial(self.store.update_user_session, session.key, renewal),
                functools.partial(self.store.delete_expired_sessions, sleep=0),
            )
            if isinstance(renewed, SessionMissing):
                self.assertIsNone(self.store.get_user_session(session.key))
            else:
                self.assertEqual((renewed, number), (2, 0))
                self.assertIsNotNone(self.store.get_user_session(session.key))
