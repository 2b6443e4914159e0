"""Tests of filters: which sessions a list or a delete concerns."""

from __future__ import annotations

from secrets import token_hex

from bff_sessions.contract import DeletedSession, UserSessionsFilter
from bff_sessions.testing.fixtures import ago
from bff_sessions.testing.harness import StoreTests


class FilterTests(StoreTests):
    """Every criterion matches exactly, in lists and in deletes."""

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
