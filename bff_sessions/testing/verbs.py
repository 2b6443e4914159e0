"""Tests of the six verbs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex
from typing import Any

from bff_sessions.contract import (
    DeletedSession,
    UserSessionsFilter,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.testing.fixtures import ago, make_session
from bff_sessions.testing.harness import StoreTests

__all__ = ["VerbTests"]


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
        self.store.create_user_session(session)

    def test_sessions_are_listed_newest_renewal_first(self) -> None:
        keys = [self.create(renewed=ago(age)).key for age in (30, 10, 20)]
        sessions = self.store.get_user_sessions(UserSessionsFilter(subject_id="alice"))
        self.assertEqual([s.key for s in sessions], [keys[1], keys[2], keys[0]])

    def test_criteria_are_combined(self) -> None:
        both = self.create(subject_id="alice", session_id="1", user_id="7")
        self.create(subject_id="alice", session_id="2", user_id="7")
        self.create(subject_id="bob", session_id="1", user_id="7")
        self.assertEqual(self.found(subject_id="alice", session_id="1"), {both.key})
        self.assertEqual(self.found(subject_id="alice", session_id="1", user_id="8"), set())
        self.assertEqual(len(self.found(user_id="7")), 3)
        self.assertEqual(len(self.found(session_id="1")), 2)

    def test_criteria_of_a_delete_are_combined(self) -> None:
        first, second = self.create(session_id="1"), self.create(session_id="2", user_id="7")
        other = self.create(subject_id="bob", session_id="1", user_id="7")
        for criteria, expected in (
            ({"subject_id": "alice", "session_id": "1", "user_id": "7"}, None),
            ({"subject_id": "Alice"}, None),
            ({"session_id": "1", "user_id": "7"}, other),
            ({"subject_id": "alice", "user_id": "7"}, second),
            ({"subject_id": "alice", "session_id": "1"}, first),
        ):
            with self.subTest(criteria=criteria):
                deleted = self.store.delete_user_sessions(UserSessionsFilter(**criteria))
                keys = [session.key for session in deleted]
                self.assertEqual(keys, [] if expected is None else [expected.key])

    def test_matching_is_exact(self) -> None:
        texts = [
            "alice",
            "Alice",
            "alice ",
            " alice",
            "alicé",
            "alice\u0301",
            "al_ce",
            "%",
            "\uff41lice",
        ]
        for name in ("subject_id", "session_id", "user_id"):
            keys = {text: self.create(**{name: text, "user_id": text}).key for text in texts}
            for text, key in keys.items():
                with self.subTest(field=name, text=text):
                    self.assertEqual(self.found(**{name: text, "user_id": text}), {key})
            for key in keys.values():
                self.store.delete_user_session(key)

    def test_issuers_and_partitions_match_exactly(self) -> None:
        keys = {text: self.create(issuer=text, partition=text).key for text in ("a", "A", "a ")}
        for text, key in keys.items():
            self.assertEqual(self.found(subject_id="alice", issuer=text), {key})
            self.assertEqual(self.found(subject_id="alice", partition=text), {key})

    def test_the_same_subject_of_another_issuer_does_not_match(self) -> None:
        ours = self.create(issuer="https://a.example")
        theirs = self.create(issuer="https://b.example")
        without = self.create(issuer=None)
        all_keys = {ours.key, theirs.key, without.key}
        self.assertEqual(self.found(subject_id="alice"), all_keys)
        self.assertEqual(self.found(subject_id="alice", issuer="https://a.example"), {ours.key})
        self.assertEqual(self.found(subject_id="alice", issuer=None), {without.key})
        deleted = self.store.delete_user_sessions(
            UserSessionsFilter(subject_id="alice", issuer=None)
        )
        self.assertEqual([session.key for session in deleted], [without.key])
        self.assertEqual(self.found(subject_id="alice"), {ours.key, theirs.key})

    def test_partitions_are_separate(self) -> None:
        shop, blog = self.create(partition="shop"), self.create(partition="blog")
        self.assertEqual(self.found(subject_id="alice"), {shop.key, blog.key})
        self.assertEqual(self.found(subject_id="alice", partition="shop"), {shop.key})
        self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice", partition="shop"))
        self.assertEqual(self.found(subject_id="alice"), {blog.key})

    def test_the_excluded_key_is_spared(self) -> None:
        mine, other = self.create(), self.create()
        self.assertEqual(self.found(subject_id="alice", exclude_key=mine.key), {other.key})
        self.store.delete_user_sessions(
            UserSessionsFilter(subject_id="alice", exclude_key=mine.key)
        )
        self.assertEqual(self.found(subject_id="alice"), {mine.key})

    def test_deleting_many_returns_what_was_deleted(self) -> None:
        live, other = self.create(session_id=None), self.create(issuer=None)
        expired = self.create(expires=ago(1))
        self.create(subject_id="bob")
        deleted = self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        expected = {session.key: DeletedSession.of(session) for session in (live, other)}
        found = {session.key: session for session in deleted if session.key != expired.key}
        self.assertEqual(found, expected)
        self.assertEqual(
            self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice")), []
        )
        self.assertEqual(len(self.found(subject_id="bob")), 1)

    def test_a_filter_that_matches_everything_cannot_be_built(self) -> None:
        for criteria in (
            {},
            {"subject_id": None},
            {"subject_id": "", "session_id": " ", "user_id": "\t"},
            {"issuer": "https://idp.example"},
            {"issuer": None, "partition": "default"},
            {"exclude_key": token_hex(32)},
        ):
            with self.subTest(criteria=criteria), self.assertRaises(ValueError):
                UserSessionsFilter(**criteria)

    def test_a_blank_criterion_counts_as_absent(self) -> None:
        session = self.create()
        self.assertEqual(self.found(subject_id="alice", session_id=" "), {session.key})

    def test_repr_shows_neither_key_nor_ticket(self) -> None:
        session = self.create(ticket=b"secret ticket")
        criteria = UserSessionsFilter(subject_id="alice", exclude_key=session.key)
        (deleted,) = self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        for shown in (session, UserSessionUpdate.of(session), deleted, criteria):
            self.assertNotIn(session.key, repr(shown))
            self.assertNotIn("secret", repr(shown))
            self.assertIn("alice", repr(shown))
