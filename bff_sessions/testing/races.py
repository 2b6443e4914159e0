"""Tests of concurrent calls."""

from __future__ import annotations

import functools
from contextlib import suppress
from secrets import token_hex

from bff_sessions.contract import (
    UserSessionsFilter,
    UserSessionStore,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.testing.fixtures import ago, make_session
from bff_sessions.testing.harness import StoreTests


class RaceTests(StoreTests):
    """Signed out is out, and one of several writers wins."""

    def test_signed_out_is_out_for_a_save_in_flight(self) -> None:
        session = self.create()
        self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        for if_version in (None, 1):
            with self.assertRaises(SessionMissing):
                self.store.update_user_session(
                    session.key, UserSessionUpdate.of(session), if_version=if_version
                )
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_for_a_rekey(self) -> None:
        session, moved = self.create(), make_session()
        self.store.delete_user_sessions(UserSessionsFilter(session_id=session.session_id))
        with self.assertRaises(SessionMissing):
            self.store.rekey_user_session(session.key, moved, if_version=1)
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_for_a_rekey_that_is_half_done(self) -> None:
        session, moved = self.create(), make_session()

        def revoke(store: UserSessionStore) -> None:
            store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))

        with self.meanwhile("create_user_session", revoke), suppress(SessionMissing):
            self.store.rekey_user_session(session.key, moved, if_version=1)
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_for_a_renewal_that_is_half_done(self) -> None:
        session = self.create()

        def revoke(store: UserSessionStore) -> None:
            store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))

        with self.meanwhile("update_user_session", revoke):
            self.store.touch_user_session(session.key, renewed=ago(0), expires=None)
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_for_a_renewal(self) -> None:
        session = self.create()
        self.store.delete_user_session(session.key)
        self.assertIs(
            self.store.touch_user_session(session.key, renewed=ago(0), expires=None), False
        )
        self.assertIsNone(self.store.get_user_session(session.key))

    def test_one_of_two_creations_of_a_key_wins(self) -> None:
        key = token_hex(32)
        sessions = [make_session(key=key) for _ in range(4)]
        results = self.race(
            *(functools.partial(self.store.create_user_session, session) for session in sessions)
        )
        self.assertEqual(results.count(None), 1, results)
        for result in results:
            self.assertIsInstance(result, SessionExists | None)
        winner = sessions[results.index(None)]
        self.assertEqual(self.store.get_user_session(key), winner)

    def test_two_deletes_delete_each_session_once(self) -> None:
        keys = {self.create().key for _ in range(30)}
        deletion = functools.partial(
            self.store.delete_user_sessions, UserSessionsFilter(subject_id="alice")
        )
        deleted = [session.key for result in self.race(deletion, deletion) for session in result]
        self.assertEqual(len(deleted), 30)
        self.assertEqual(set(deleted), keys)
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_conditional_updates_let_one_through_at_a_time(self) -> None:
        session = self.create(ticket=b"0")

        def count() -> None:
            for _ in range(5):
                while True:
                    current = self.store.get_user_session(session.key)
                    ticket = b"%d" % (int(current.ticket) + 1)
                    try:
                        self.store.update_user_session(
                            session.key,
                            self.update_of(current, ticket=ticket),
                            if_version=current.version,
                        )
                    except SessionChanged:
                        continue
                    break

        self.assertEqual(self.race(count, count, count), [None] * 3)
        final = self.store.get_user_session(session.key)
        self.assertEqual((final.ticket, final.version), (b"15", 16))

    def test_one_of_two_rekeys_wins(self) -> None:
        session = self.create()
        moved = [make_session() for _ in range(4)]
        results = self.race(
            *(
                functools.partial(
                    self.store.rekey_user_session, session.key, new, if_version=session.version
                )
                for new in moved
            )
        )
        self.assertEqual(results.count(2), 1, results)
        for result in results:
            self.assertIsInstance(result, int | SessionMissing | SessionChanged)
        self.assertEqual(self.found(subject_id="alice"), {moved[results.index(2)].key})

    def test_signed_out_is_out_when_writes_race_with_the_revocation(self) -> None:
        for _ in range(5):
            session, moved = self.create(), make_session()
            *others, deleted = self.race(
                functools.partial(self.store.rekey_user_session, session.key, moved, if_version=1),
                functools.partial(
                    self.store.update_user_session, session.key, self.update_of(session)
                ),
                functools.partial(
                    self.store.touch_user_session, session.key, renewed=ago(0), expires=None
                ),
                functools.partial(
                    self.store.delete_user_sessions, UserSessionsFilter(subject_id="alice")
                ),
            )
            for result in others:
                self.assertIsInstance(result, int | SessionMissing | SessionChanged)
            self.assertIsInstance(deleted, list)
            self.assertEqual(self.found(subject_id="alice"), set())
