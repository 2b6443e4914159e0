"""Tests of the six verbs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex

from bff_sessions.contract import (
    UserSessionsFilter,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.testing.fixtures import ago, make_session
from bff_sessions.testing.harness import StoreTests


class VerbTests(StoreTests):
    """Creating, reading, updating, finding and deleting sessions."""

    def test_a_created_session_is_found_as_it_was(self) -> None:
        session = self.create()
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_an_unknown_key_is_none(self) -> None:
        self.create()
        self.assertIsNone(self.store.get_user_session(token_hex(32)))

    def test_an_anonymous_session_is_a_session(self) -> None:
        session = self.create(issuer=None, subject_id=None, session_id=None, user_id=None)
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_a_session_without_session_id_is_found_by_its_subject(self) -> None:
        session = self.create(session_id=None)
        self.assertEqual(self.found(subject_id="alice"), {session.key})

    def test_a_session_without_expiry_lives(self) -> None:
        session = self.create(expires=None)
        self.assertEqual(self.store.get_user_session(session.key), session)
        self.assertEqual(self.found(subject_id="alice"), {session.key})

    def test_an_expired_session_is_absent(self) -> None:
        session = self.create(expires=ago(1))
        self.assertIsNone(self.store.get_user_session(session.key))
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_moments_are_read_in_utc_to_the_microsecond(self) -> None:
        moment = datetime(2030, 10, 27, 1, 30, 0, 123456, tzinfo=UTC)
        key = self.create(created=moment, renewed=moment, expires=moment).key
        session = self.store.get_user_session(key)
        for name in ("created", "renewed", "expires"):
            self.assertEqual(getattr(session, name), moment)
            self.assertEqual(getattr(session, name).utcoffset(), timedelta(0))

    def test_a_ticket_is_any_bytes(self) -> None:
        for ticket in (b"", bytes(range(256)), token_bytes(100_000)):
            key = self.create(ticket=ticket).key
            self.assertEqual(self.store.get_user_session(key).ticket, ticket)
            self.assertIsInstance(self.store.get_user_session(key).ticket, bytes)

    def test_255_characters_are_stored_whole(self) -> None:
        for character in ("x", "\U0001f511"):
            text = character * 255
            session = self.create(issuer=text, subject_id=text, session_id=text, user_id=text)
            self.assertEqual(self.store.get_user_session(session.key), session)
            self.assertEqual(self.found(subject_id=text), {session.key})

    def test_longer_text_is_refused_not_truncated(self) -> None:
        for name in ("issuer", "subject_id", "session_id", "user_id"):
            with self.assertRaisesRegex(ValueError, name):
                self.create(**{name: "x" * 256})

    def test_creating_a_key_twice_fails(self) -> None:
        session = self.create()
        with self.assertRaises(SessionExists):
            self.create(key=session.key, subject_id="mallory")
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_creating_the_key_of_an_expired_session_creates_or_fails(self) -> None:
        expired = self.create(expires=ago(1))
        session = make_session(key=expired.key)
        try:
            self.store.create_user_session(session)
        except SessionExists:
            self.assertIsNone(self.store.get_user_session(session.key))
        else:
            self.assertEqual(self.store.get_user_session(session.key), session)

    def test_an_update_writes_everything_and_counts(self) -> None:
        session = self.create()
        changed = replace(
            session,
            issuer="https://other.example",
            subject_id="bob",
            session_id=None,
            user_id="43",
            created=session.created + timedelta(minutes=1),
            renewed=session.renewed + timedelta(minutes=2),
            expires=None,
            ticket=b"other",
            version=2,
        )
        version = self.store.update_user_session(session.key, UserSessionUpdate.of(changed))
        self.assertEqual(version, 2)
        self.assertEqual(self.store.get_user_session(session.key), changed)

    def test_an_update_leaves_other_sessions(self) -> None:
        session, other = self.create(), self.create()
        self.store.update_user_session(session.key, self.update_of(session, ticket=b"new"))
        self.assertEqual(self.store.get_user_session(other.key), other)

    def test_an_update_of_the_known_version_succeeds(self) -> None:
        session = self.create()
        for version in (1, 2, 3):
            update = self.update_of(session, ticket=b"%d" % version)
            new = self.store.update_user_session(session.key, update, if_version=version)
            self.assertEqual(new, version + 1)

    def test_an_update_of_a_moved_version_fails(self) -> None:
        session = self.create()
        self.store.update_user_session(session.key, self.update_of(session, ticket=b"theirs"))
        with self.assertRaises(SessionChanged):
            self.store.update_user_session(
                session.key, self.update_of(session, ticket=b"mine"), if_version=1
            )
        self.assertEqual(self.store.get_user_session(session.key).ticket, b"theirs")

    def test_an_update_of_a_missing_session_fails_and_creates_nothing(self) -> None:
        session = make_session()
        for if_version in (None, 1):
            with self.assertRaises(SessionMissing):
                self.store.update_user_session(
                    session.key, UserSessionUpdate.of(session), if_version=if_version
                )
        self.assertIsNone(self.store.get_user_session(session.key))

    def test_an_update_of_an_expired_session_works_or_finds_none(self) -> None:
        for if_version in (None, 1):
            session = self.create(expires=ago(1))
            update = self.update_of(session, expires=None)
            try:
                version = self.store.update_user_session(session.key, update, if_version=if_version)
            except SessionMissing:
                self.assertIsNone(self.store.get_user_session(session.key))
            else:
                self.assertEqual(version, 2)
                self.assertIsNotNone(self.store.get_user_session(session.key))

    def test_an_update_that_lets_a_session_expire_leaves_nothing_to_read(self) -> None:
        session = self.create()
        update = self.update_of(session, expires=ago(1))
        self.assertEqual(self.store.update_user_session(session.key, update, if_version=1), 2)
        self.assertIsNone(self.store.get_user_session(session.key))
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_deleting_says_whether_there_was_one(self) -> None:
        session, other = self.create(), self.create()
        self.assertIs(self.store.delete_user_session(session.key), True)
        self.assertIs(self.store.delete_user_session(session.key), False)
        self.assertIsNone(self.store.get_user_session(session.key))
        self.assertEqual(self.store.get_user_session(other.key), other)

    def test_nothing_is_left_of_an_expired_session_that_was_deleted(self) -> None:
        session = self.create(expires=ago(1))
        self.assertIn(self.store.delete_user_session(session.key), (True, False))
        self.assertIs(self.store.delete_user_session(session.key), False)
        with suppress(SessionMissing):  # A store may refuse the key of a session that has ended.
            self.store.create_user_session(session)

    def test_repr_shows_neither_key_nor_ticket(self) -> None:
        session = self.create(ticket=b"secret ticket")
        criteria = UserSessionsFilter(subject_id="alice", exclude_key=session.key)
        (deleted,) = self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        for shown in (session, UserSessionUpdate.of(session), deleted, criteria):
            self.assertNotIn(session.key, repr(shown))
            self.assertNotIn("secret", repr(shown))
            self.assertIn("alice", repr(shown))
