"""The contract as a test-suite, for whoever writes a store.

    class MyStoreTests(UserSessionStoreTests, TransactionTestCase):
        def make_store(self):
            return MyStore()

Every test runs twice: through the verbs, and as ``<name>_async`` through their ``a…`` twins.
Stores that write through Django's connections need a ``TransactionTestCase``: the tests race with
threads, and a refused write ends the transaction around it.
"""

from __future__ import annotations

import functools
import random
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex
from typing import TYPE_CHECKING, Any
from unittest import TestCase, mock

from asgiref.sync import async_to_sync
from django.db import connections, transaction

from bff_sessions.contract import (
    DeletedSession,
    Device,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionUpdate,
    WithoutTickets,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.protection import protect, unprotect
from bff_sessions.stores.memory import InMemoryUserSessionStore

__all__ = ["UserSessionStoreTests", "altered", "make_session", "sealed"]


def make_session(**fields: Any) -> UserSession:
    """A live session of alice's, with a random key, session id and ticket; `fields` override."""
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {
        "key": token_hex(32),
        "partition": "default",
        "issuer": "https://idp.example",
        "subject_id": "alice",
        "session_id": token_hex(16),
        "user_id": "42",
        "sign_in_id": token_hex(16),
        "created": now,
        "renewed": now,
        "expires": now + timedelta(hours=1),
        "ticket": token_bytes(32),
    }
    return UserSession(**defaults | fields)


def sealed(session: UserSession, data: bytes) -> UserSession:
    """Return `session` with a ticket that holds `data` and opens."""
    ticket = protect(data, key=session.key, partition=session.partition, bound=session.bound)
    return replace(session, ticket=ticket)


def altered(session: UserSession, **fields: Any) -> UserSession:
    """Return `session` with other `fields`, and its ticket bound to them.

    For tests that let time pass, for example: a row that is altered by itself does not open.

    Raises:
        TicketUnreadable: if the ticket of `session` does not open.
    """
    data = unprotect(
        session.ticket, key=session.key, partition=session.partition, bound=session.bound
    )
    return sealed(replace(session, **fields), data)


def _impossible_keys(key: str) -> list[str]:
    """Return texts that come from outside in place of a key; some resemble `key`."""
    return [
        "",
        "\0",
        f"{key}\0",
        f"{key} ",
        key[:-1],
        key.upper(),
        "\u00fc" * 64,
        "\U0001f511",
        "\ud800",
        f"{key}\udfff",
        "../" * 20,
        "%" * 65,
        "x" * 5_000,
    ]


def _ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


if TYPE_CHECKING:
    _Mixin = TestCase
else:
    # Not a TestCase itself: test runners would collect it wherever it is imported.
    _Mixin = object


class _Twins:
    """A store whose verbs run their asynchronous twins."""

    def __init__(self, store: UserSessionStore) -> None:
        self._store = store

    def __getattr__(self, verb: str) -> Any:
        return async_to_sync(getattr(self._store, f"a{verb}"))


class UserSessionStoreTests(_Mixin):
    """To be mixed into a ``TestCase`` that gives `make_store()`.

    The tests of the clean-up run if the store is a `UserSessionStoreCleanup`, and does not raise
    NotImplementedError when asked to.
    """

    store: Any
    """What the tests talk to: the store, or its twins."""

    def make_store(self) -> UserSessionStore:
        """A store with nothing in it. Called once for each test."""
        raise NotImplementedError(f"{type(self).__name__} must define make_store().")

    def setUp(self) -> None:
        super().setUp()
        self.store = self.make_store()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _add_twins(cls)  # Of the tests that a subclass adds.

    def create(self, **fields: Any) -> UserSession:
        """Add a session and return it."""
        session = make_session(**fields)
        self.store.create_user_session(session)
        return session

    def update_of(self, session: UserSession, **fields: Any) -> UserSessionUpdate:
        """What would save `session` with `fields` changed."""
        return UserSessionUpdate.of(replace(session, **fields))

    def found(self, **criteria: Any) -> set[str]:
        """Keys of what a query for `criteria` finds."""
        sessions = self.store.get_user_sessions(UserSessionsFilter(**criteria))
        return {session.key for session in sessions}

    def race(self, *contenders: Callable[[], Any]) -> list[Any]:
        """Run all at the same time, each in its thread; results, or the exception of each."""
        results: list[Any] = [None] * len(contenders)
        barrier = threading.Barrier(len(contenders))

        def run(index: int) -> None:
            barrier.wait()
            try:
                results[index] = contenders[index]()
            except Exception as error:
                results[index] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(contenders))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def _itself(self) -> UserSessionStore:
        """The store, also where the tests talk to its twins."""
        store = self.store
        return store._store if isinstance(store, _Twins) else store

    @contextmanager
    def meanwhile(self, verb: str, action: Callable[[UserSessionStore], None]) -> Iterator[None]:
        """Run `action` within what is done here: before the store first calls its own `verb`.

        Afterwards, if it calls none.
        """
        store = self._itself()
        called: list[str] = []
        original = getattr(store, verb)

        def intercept(*args: Any, **kwargs: Any) -> Any:
            if not called:
                called.append(verb)
                action(store)
            return original(*args, **kwargs)

        with mock.patch.object(store, verb, intercept):
            yield
        if not called:
            action(store)

    # get and create

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
        session = self.create(expires=_ago(1))
        self.assertIsNone(self.store.get_user_session(session.key))
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_moments_come_back_in_utc_to_the_microsecond(self) -> None:
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

    def test_255_characters_are_kept_whole(self) -> None:
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

    def test_creating_an_expired_key_again_fails(self) -> None:
        session = self.create(expires=_ago(1))
        with self.assertRaises(SessionExists):
            self.create(key=session.key)

    # keys from outside

    def test_key_that_no_session_has_is_absent(self) -> None:
        session = self.create()
        for key in _impossible_keys(session.key):
            self.assertIsNone(self.store.get_user_session(key))
            self.assertIs(self.store.delete_user_session(key), False)
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_write_under_a_key_that_no_session_has_is_refused(self) -> None:
        session = self.create()
        for key in _impossible_keys(session.key):
            read, update = replace(session, key=key), self.update_of(session, ticket=b"new")
            for if_version in (None, session.version):
                with self.assertRaises(SessionMissing):
                    self.store.update_user_session(key, update, if_version=if_version)
            for new_key in (key, token_hex(32)):
                with self.assertRaises(SessionMissing):
                    self.store.overwrite_user_session(read, replace(read, key=new_key))
            moved = replace(session, key=token_hex(32))
            with self.assertRaises(SessionMissing):
                self.store.rekey_user_session(key, moved, if_version=session.version)
            self.assertIsNone(self.store.get_user_session(moved.key))
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_use_of_a_key_that_no_session_has_is_not_noted(self) -> None:
        session, now = self.create(), datetime.now(UTC)
        for key in _impossible_keys(session.key):
            self.assertIs(self.store.touch_user_session(key, renewed=now, expires=None), False)
            self.assertIs(self.store.note_device(key, seen=now, device=Device()), False)
        self.assertEqual(self.store.get_user_session(session.key), session)

    def test_lease_of_a_key_that_no_session_has_is_refused(self) -> None:
        self._need_leases()
        session = self.create()
        for key in _impossible_keys(session.key):
            with self.assertRaises(SessionMissing):
                self.store.acquire_lease(key, "one", 60)
            self.assertIs(self.store.release_lease(key, "one"), False)

    def test_excluding_a_key_that_no_session_has_spares_none(self) -> None:
        session = self.create()
        for key in _impossible_keys(session.key):
            self.assertEqual(self.found(subject_id="alice", exclude_key=key), {session.key})
            filter = UserSessionsFilter(subject_id="alice", exclude_key=key)
            deleted = self.store.delete_user_sessions(filter)
            self.assertEqual([found.key for found in deleted], [session.key])
            self.store.create_user_session(session)

    # update

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

    def test_what_was_read_is_overwritten(self) -> None:
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

    def test_what_has_changed_since_it_was_read_is_not_overwritten(self) -> None:
        read = self.create()
        self.store.update_user_session(read.key, self.update_of(read, ticket=b"theirs"))
        for key in (read.key, token_hex(32)):
            with self.assertRaises(SessionChanged):
                self.store.overwrite_user_session(read, replace(read, key=key, ticket=b"mine"))
        current = self.store.get_user_session(read.key)
        assert current is not None
        self.assertEqual(current.ticket, b"theirs")

    def test_what_is_gone_since_it_was_read_is_not_written_again(self) -> None:
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

    def test_an_update_of_an_expired_session_works(self) -> None:
        session = self.create(expires=_ago(1))
        update = self.update_of(session, expires=None)
        self.assertEqual(
            self.store.update_user_session(session.key, update, if_version=session.version), 2
        )
        self.assertIsNotNone(self.store.get_user_session(session.key))

    # delete one

    def test_deleting_says_whether_there_was_one(self) -> None:
        session, other = self.create(), self.create()
        self.assertIs(self.store.delete_user_session(session.key), True)
        self.assertIs(self.store.delete_user_session(session.key), False)
        self.assertIsNone(self.store.get_user_session(session.key))
        self.assertEqual(self.store.get_user_session(other.key), other)

    def test_an_expired_session_is_deleted(self) -> None:
        session = self.create(expires=_ago(1))
        self.assertIs(self.store.delete_user_session(session.key), True)

    # query and delete many

    def test_sessions_come_newest_renewal_first(self) -> None:
        keys = [self.create(renewed=_ago(age)).key for age in (30, 10, 20)]
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

    def test_the_same_subject_of_another_issuer_is_somebody_else(self) -> None:
        ours = self.create(issuer="https://a.example")
        theirs = self.create(issuer="https://b.example")
        local = self.create(issuer=None)
        everybody = {ours.key, theirs.key, local.key}
        self.assertEqual(self.found(subject_id="alice"), everybody)
        self.assertEqual(self.found(subject_id="alice", issuer="https://a.example"), {ours.key})
        self.assertEqual(self.found(subject_id="alice", issuer=None), {local.key})
        deleted = self.store.delete_user_sessions(
            UserSessionsFilter(subject_id="alice", issuer=None)
        )
        self.assertEqual([session.key for session in deleted], [local.key])
        self.assertEqual(self.found(subject_id="alice"), {ours.key, theirs.key})

    def test_partitions_are_told_apart(self) -> None:
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
        live, expired = self.create(session_id=None), self.create(expires=_ago(1))
        self.create(subject_id="bob")
        deleted = self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        expected = {session.key: DeletedSession.of(session) for session in (live, expired)}
        self.assertEqual({session.key: session for session in deleted}, expected)
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

    # query in pages

    def pages(self, limit: int = 2, **criteria: Any) -> Iterator[UserSessionsPage]:
        """Yield the pages of a query for `criteria`, alice's by default, one after the other."""
        filter = UserSessionsFilter(**criteria or {"subject_id": "alice"})
        cursor = None
        while True:
            page = self.store.query_user_sessions(filter, cursor=cursor, limit=limit)
            self.assertLessEqual(len(page.sessions), limit)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def listed(self, limit: int = 2, **criteria: Any) -> list[UserSession]:
        """Return the sessions of all pages()."""
        return [session for page in self.pages(limit, **criteria) for session in page.sessions]

    def test_pages_list_newest_sign_in_first(self) -> None:
        ages = (30, 10, 50, 20, 40)
        keys = {age: self.create(created=_ago(age), renewed=_ago(60 - age)).key for age in ages}
        expected = [keys[age] for age in sorted(ages)]
        for limit in (1, 2, 4, 5, 6, 1000):
            with self.subTest(limit=limit):
                self.assertEqual([s.key for s in self.listed(limit)], expected)

    def test_pages_list_sessions_as_they_are_without_tickets(self) -> None:
        session = self.create(expires=None)
        self.store.note_device(session.key, seen=_ago(5), device=Device(address="192.0.2.0/24"))
        self.store.update_user_session(session.key, self.update_of(session, user_id="43"))
        current = self.store.get_user_session(session.key)
        self.assertEqual(self.listed(), [replace(current, ticket=b"")])

    def test_pages_list_live_sessions_that_match(self) -> None:
        mine, other = self.create(user_id="7"), self.create(issuer=None)
        self.create(expires=_ago(1))
        self.create(subject_id="bob")
        for criteria, expected in (
            ({"subject_id": "alice"}, {mine.key, other.key}),
            ({"subject_id": "alice", "exclude_key": mine.key}, {other.key}),
            ({"subject_id": "alice", "issuer": None}, {other.key}),
            ({"user_id": "7"}, {mine.key}),
            ({"session_id": mine.session_id}, {mine.key}),
            ({"subject_id": "Alice"}, set()),
        ):
            with self.subTest(criteria=criteria):
                found = [session.key for session in self.listed(1, **criteria)]
                self.assertEqual(sorted(found), sorted(expected))

    def test_last_page_has_no_cursor(self) -> None:
        self.assertEqual(list(self.pages()), [UserSessionsPage(sessions=[], next_cursor=None)])
        for _ in range(4):
            self.create()
        self.assertEqual([len(page.sessions) for page in self.pages(2)], [2, 2])
        self.assertEqual([len(page.sessions) for page in self.pages(3)], [3, 1])

    def test_page_limit_must_be_1_to_1000(self) -> None:
        filter = UserSessionsFilter(subject_id="alice")
        for limit in (-1, 0, 1001, 10**30):
            with self.subTest(limit=limit), self.assertRaises(ValueError):
                self.store.query_user_sessions(filter, limit=limit)

    def test_cursor_that_no_page_of_the_store_had_is_refused(self) -> None:
        filter = UserSessionsFilter(subject_id="alice")
        elsewhere = InMemoryUserSessionStore()
        for _ in range(2):
            elsewhere.create_user_session(self.create())
        cursor = self.store.query_user_sessions(filter, limit=1).next_cursor
        foreign = elsewhere.query_user_sessions(filter, limit=1).next_cursor
        altered = [
            cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :]
            for n in range(len(cursor))
        ]
        shorter_and_longer = [cursor[:-1], cursor[1:], cursor + "A", cursor + "=", f" {cursor}\n"]
        garbage = ["", " ", "0", "None", "%00", "\0", "\ud800", "\u00e9", "=" * 4, "A" * 10_000]
        for refused in [foreign, *altered, *shorter_and_longer, *garbage]:
            with self.subTest(cursor=refused), self.assertRaises(ValueError):
                self.store.query_user_sessions(filter, cursor=refused)

    def test_cursor_holds_nothing_of_the_session(self) -> None:
        session = self.create(ticket=b"secret ticket")
        self.create(created=_ago(10))
        page = next(self.pages(1))
        self.assertEqual([listed.key for listed in page.sessions], [session.key])
        cursor = page.next_cursor or ""
        self.assertRegex(cursor, r"\A[\w.~-]+\Z")
        content = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        for secret in (session.key, session.session_id or "", "secret", "alice"):
            self.assertNotIn(secret, cursor)
            self.assertNotIn(secret.encode(), content)
        for digits in (session.key, session.session_id or ""):
            self.assertNotIn(bytes.fromhex(digits), content)

    def test_pages_show_each_session_once_whatever_happens_meanwhile(self) -> None:
        for seed in range(6):
            with self.subTest(seed=seed):
                self._walk_and_change(random.Random(seed))
            self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))

    def _walk_and_change(self, chance: random.Random) -> None:
        # Few moments, so that several sessions have the same.
        moments = [_ago(age) for age in (10, 20, 30)]
        keys: dict[str | None, str] = {}

        def create() -> None:
            moment = chance.choice([*moments, _ago(0)])
            session = self.create(created=moment, renewed=moment)
            keys[session.session_id] = session.key

        def change() -> None:
            session_id = chance.choice([*keys])
            session = self.store.get_user_session(keys[session_id])
            renewed = datetime.now(UTC)
            match chance.choice(["create", "touch", "save", "move", "move", "end", "expire"]):
                case "create":
                    create()
                case "touch":
                    self.store.touch_user_session(session.key, renewed=renewed, expires=None)
                case "save":
                    update = self.update_of(session, ticket=b"new", renewed=renewed)
                    self.store.update_user_session(session.key, update)
                case "move":
                    moved = replace(session, key=token_hex(32), renewed=renewed)
                    self.store.rekey_user_session(session.key, moved, if_version=session.version)
                    keys[session_id] = moved.key
                case "end" if len(keys) > 1:
                    self.store.delete_user_session(keys.pop(session_id))
                case "expire" if len(keys) > 1:
                    update = self.update_of(session, expires=_ago(1))
                    self.store.update_user_session(keys.pop(session_id), update)

        for _ in range(12):
            create()
        initial, seen = set(keys), []
        for page in self.pages(limit=chance.randint(1, 3)):
            seen += [session.session_id for session in page.sessions]
            for _ in range(chance.randint(0, 3)):
                change()
        self.assertEqual(len(seen), len(set(seen)))
        self.assertEqual((initial & set(keys)) - set(seen), set())

    # rekey

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

    # touch

    def test_a_rekey_does_not_lose_a_save_that_comes_between(self) -> None:
        for verb in ("update_user_session", "create_user_session", "delete_user_session"):
            session, moved = self.create(), make_session()
            saved: list[UserSessionUpdate] = []

            def save(
                store: UserSessionStore,
                key: str = session.key,
                saved: list[UserSessionUpdate] = saved,
            ) -> None:
                current = store.get_user_session(key)
                if current is not None:
                    update = self.update_of(current, ticket=b"between")
                    store.update_user_session(key, update, if_version=current.version)
                    saved.append(update)

            with self.subTest(verb):
                with self.meanwhile(verb, save), suppress(SessionChanged):
                    self.store.rekey_user_session(session.key, moved, if_version=1)
                old = self.store.get_user_session(session.key)
                new = self.store.get_user_session(moved.key)
                tickets = [each.ticket for each in (old, new) if each is not None]
                self.assertEqual(tickets, [b"between" if saved else moved.ticket])

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
        expired = self.create(expires=_ago(1))
        for key in (expired.key, token_hex(32)):
            renewed = datetime.now(UTC)
            self.assertIs(self.store.touch_user_session(key, renewed=renewed, expires=None), False)
            self.assertIsNone(self.store.get_user_session(key))

    def test_on_commit_calls_outside_a_transaction(self) -> None:
        called: list[int] = []
        self.store.on_commit(lambda: called.append(1))
        self.assertEqual(called, [1])

    # What a ticket is bound to

    def create_sealed(self, **fields: Any) -> UserSession:
        """Add a session whose ticket is a real one, and return it."""
        session = sealed(make_session(**fields), b"the data")
        self.store.create_user_session(session)
        return session

    def check_opens(self, session: UserSession | DeletedSession | None) -> None:
        """Fail unless the ticket of `session`, which the store returned, opens."""
        assert session is not None
        data = unprotect(
            session.ticket, key=session.key, partition=session.partition, bound=session.bound
        )
        self.assertEqual(data, b"the data")

    def test_a_ticket_opens_after_every_verb(self) -> None:
        old = self.create_sealed()
        self.check_opens(self.store.get_user_session(old.key))
        now = datetime.now(UTC)
        self.store.touch_user_session(old.key, renewed=now, expires=now + timedelta(hours=2))
        self.store.note_device(old.key, seen=now, device=Device(user_agent="Firefox"))
        self.check_opens(self.store.get_user_session(old.key))
        read = self.store.get_user_session(old.key)
        changed = altered(read, subject_id="bob", session_id=None, sign_in_id=token_hex(16))
        self.store.update_user_session(old.key, UserSessionUpdate.of(changed))
        read = self.store.get_user_session(old.key)
        self.check_opens(read)
        self.store.overwrite_user_session(read, altered(read, issuer=None, user_id="7"))
        read = self.store.get_user_session(old.key)
        self.check_opens(read)
        moved = altered(read, key=token_hex(32), created=_ago(100))
        self.store.rekey_user_session(read.key, moved, if_version=read.version)
        self.check_opens(self.store.get_user_session(moved.key))
        for session in self.store.get_user_sessions(UserSessionsFilter(subject_id="bob")):
            self.check_opens(session)
        [deleted] = self.store.delete_user_sessions(UserSessionsFilter(subject_id="bob"))
        self.check_opens(deleted)

    def test_a_ticket_opens_though_its_session_has_a_lease(self) -> None:
        key = self.create_sealed().key
        try:
            self.store.acquire_lease(key, "owner", 60)
        except NotImplementedError:
            self.skipTest("This store has no leases.")
        self.check_opens(self.store.get_user_session(key))
        self.store.release_lease(key, "owner")
        self.check_opens(self.store.get_user_session(key))

    def test_a_ticket_opens_after_clean_up(self) -> None:
        self.needs_cleanup()
        self.create_sealed(expires=_ago(1))
        told: list[DeletedSession] = []
        self.store.delete_expired_sessions(on_deleted=told.extend)
        self.assertEqual(len(told), 1)
        self.check_opens(told[0])

    # What must happen together with a delete

    def deletes(self) -> Iterator[tuple[UserSession, Callable[..., Any]]]:
        """Yield a new session and what ends it, for each verb that deletes."""
        session = self.create_sealed()
        yield session, functools.partial(self.store.delete_user_session, session.key)
        session = self.create_sealed(subject_id="bob")
        filter = UserSessionsFilter(subject_id="bob")
        yield session, functools.partial(self.store.delete_user_sessions, filter)
        if self._cleans_up():
            session = self.create_sealed(expires=_ago(1))
            yield session, functools.partial(self.store.delete_expired_sessions, sleep=0)

    def was_left(self, session: UserSession) -> bool:
        """Delete `session`, and return whether it was still there. It may have expired."""
        deleted: bool = self.store.delete_user_session(session.key)
        return deleted

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

    def test_on_ending_gets_every_batch_of_a_clean_up(self) -> None:
        self.needs_cleanup()
        keys = {self.create(expires=_ago(1)).key for _ in range(3)}
        self.create()
        told: list[DeletedSession] = []
        counts: list[int] = []
        self.store.delete_expired_sessions(
            batch_size=2,
            sleep=0,
            on_deleted=WithoutTickets(lambda batch: counts.append(len(batch))),
            on_ending=told.extend,
        )
        self.assertEqual({one.key for one in told}, keys)
        self.assertTrue(all(one.ticket for one in told))
        self.assertEqual(sum(counts), 3)

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
            if self._transactions() is not None:
                self.assertEqual(len(told), 1)

    def test_what_on_ending_writes_is_committed_with_the_delete(self) -> None:
        using = self._needs_transactions()
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

    def test_what_on_ending_writes_is_rolled_back_with_the_delete(self) -> None:
        using = self._needs_transactions()
        store = self._itself()  # Only the caller's own thread is in its transaction.
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

    def _transactions(self) -> str | None:
        """Return the alias of the database in whose transactions the store takes part."""
        using: str | None = getattr(self._itself(), "using", None)
        return using

    def _needs_transactions(self) -> str:
        using = self._transactions()
        if using is None:
            self.skipTest("The store has no transactions.")
        return using

    # Signed out is out

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
            self.store.touch_user_session(session.key, renewed=_ago(0), expires=None)
        self.assertEqual(self.found(subject_id="alice"), set())

    def test_signed_out_is_out_for_a_renewal(self) -> None:
        session = self.create()
        self.store.delete_user_session(session.key)
        self.assertIs(
            self.store.touch_user_session(session.key, renewed=_ago(0), expires=None), False
        )
        self.assertIsNone(self.store.get_user_session(session.key))

    # Races

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

    def test_two_deletes_remove_everything_once(self) -> None:
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
                    self.store.touch_user_session, session.key, renewed=_ago(0), expires=None
                ),
                functools.partial(
                    self.store.delete_user_sessions, UserSessionsFilter(subject_id="alice")
                ),
            )
            for result in others:
                self.assertIsInstance(result, int | SessionMissing | SessionChanged)
            self.assertIsInstance(deleted, list)
            self.assertEqual(self.found(subject_id="alice"), set())

    # Devices

    def test_a_device_is_kept_beside_the_session_or_not_at_all(self) -> None:
        session = self.create(expires=None)
        first, second = _ago(90), _ago(30)
        device = Device(user_agent="x" * 255, address="2001:db8:1::/48")
        noted = self.store.note_device(session.key, seen=first, device=device)
        if noted is False:  # The store keeps none.
            self.assertEqual(self.store.get_user_session(session.key), session)
            return
        self.assertIs(noted, True)
        expected = replace(
            session, user_agent=device.user_agent, address=device.address, last_seen=first
        )
        self.assertEqual(self.store.get_user_session(session.key), expected)
        # Somebody else was quicker.
        self.assertIs(self.store.note_device(session.key, seen=second), False)
        self.assertEqual(self.store.get_user_session(session.key), expected)
        self.assertIs(self.store.note_device(session.key, seen=second, if_seen=first), True)
        expected = replace(expected, last_seen=second)
        self.assertEqual(self.store.get_user_session(session.key), expected)
        self.store.update_user_session(session.key, self.update_of(session), if_version=1)
        expected = replace(expected, version=2)
        self.assertEqual(self.store.get_user_session(session.key), expected)
        moved = replace(expected, key=token_hex(32))
        self.store.rekey_user_session(session.key, moved, if_version=2)
        self.assertEqual(self.store.get_user_session(moved.key), replace(moved, version=3))
        self.store.note_device(moved.key, seen=first, if_seen=second, device=Device())
        found = self.store.get_user_session(moved.key)
        self.assertEqual(
            found, replace(moved, version=3, last_seen=first, user_agent=None, address=None)
        )

    def test_signed_out_is_out_for_a_device(self) -> None:
        session, expired = self.create(), self.create(expires=_ago(1))
        self.store.delete_user_session(session.key)
        for key in (session.key, expired.key, token_hex(32)):
            noted = self.store.note_device(key, seen=datetime.now(UTC), device=Device())
            self.assertIs(noted, False)
            self.assertIsNone(self.store.get_user_session(key))

    # Leases

    def test_a_lease_keeps_out_other_leases_only(self) -> None:
        self._need_leases()
        session = self.create()
        self.assertIs(self.store.acquire_lease(session.key, "one", 60), True)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), False)
        self.assertIs(self.store.acquire_lease(session.key, "one", 60), True)
        self.assertEqual(self.store.get_user_session(session.key), session)
        self.store.update_user_session(session.key, self.update_of(session), if_version=1)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), False)
        self.assertIs(self.store.acquire_lease(self.create().key, "other", 60), True)

    def test_a_lease_is_released_by_its_owner_only(self) -> None:
        self._need_leases()
        session = self.create()
        self.assertIs(self.store.release_lease(session.key, "one"), False)
        self.store.acquire_lease(session.key, "one", 60)
        self.assertIs(self.store.release_lease(session.key, "other"), False)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), False)
        self.assertIs(self.store.release_lease(session.key, "one"), True)
        self.assertIs(self.store.release_lease(session.key, "one"), False)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), True)

    def test_a_lease_ends_by_itself(self) -> None:
        self._need_leases()
        session = self.create()
        self.store.acquire_lease(session.key, "one", 0)
        self.assertIs(self.store.acquire_lease(session.key, "other", 60), True)
        self.assertIs(self.store.release_lease(session.key, "one"), False)

    def test_a_lease_moves_with_its_session(self) -> None:
        self._need_leases()
        session, moved = self.create(), make_session()
        self.store.acquire_lease(session.key, "one", 60)
        self.store.rekey_user_session(session.key, moved, if_version=1)
        self.assertIs(self.store.acquire_lease(moved.key, "other", 60), False)
        self.assertIs(self.store.release_lease(moved.key, "one"), True)

    def test_signed_out_is_out_for_a_lease(self) -> None:
        self._need_leases()
        session = self.create()
        self.store.acquire_lease(session.key, "one", 60)
        self.store.delete_user_session(session.key)
        for owner in ("one", "other"):
            with self.assertRaises(SessionMissing):
                self.store.acquire_lease(session.key, owner, 60)
        self.assertIs(self.store.release_lease(session.key, "one"), False)
        self.assertIsNone(self.store.get_user_session(session.key))
        with self.assertRaises(SessionMissing):
            self.store.acquire_lease(self.create(expires=_ago(1)).key, "one", 60)
        with self.assertRaises(SessionMissing):
            self.store.acquire_lease(token_hex(32), "one", 60)

    def test_one_of_two_leases_wins(self) -> None:
        self._need_leases()
        for _ in range(5):
            session = self.create()
            results = self.race(
                functools.partial(self.store.acquire_lease, session.key, "one", 60),
                functools.partial(self.store.acquire_lease, session.key, "other", 60),
            )
            self.assertEqual(sorted(results), [False, True])

    def _need_leases(self) -> None:
        try:
            self._itself().release_lease(token_hex(32), "nobody")
        except NotImplementedError:
            self.skipTest("The store has no leases.")

    # Clean-up

    def test_clean_up_removes_the_expired_only(self) -> None:
        self.needs_cleanup()
        expired = {self.create(expires=_ago(age)).key for age in (1, 10, 100)}
        live = {self.create().key, self.create(expires=None).key}
        batches: list[list[str]] = []
        removed = self.store.delete_expired_sessions(
            batch_size=2, sleep=0, on_deleted=lambda batch: batches.append([s.key for s in batch])
        )
        self.assertEqual(removed, 3)
        self.assertEqual([len(batch) for batch in batches], [2, 1])
        self.assertEqual({key for batch in batches for key in batch}, expired)
        self.assertEqual(self.found(subject_id="alice"), live)
        for key in expired:
            self.assertIs(self.store.delete_user_session(key), False)

    def test_clean_up_tells_what_it_removed(self) -> None:
        self.needs_cleanup()
        session = self.create(expires=_ago(1))
        batches: list[Sequence[DeletedSession]] = []
        self.store.delete_expired_sessions(on_deleted=batches.append)
        self.assertEqual([list(batch) for batch in batches], [[DeletedSession.of(session)]])
        # Without tickets it may do with less, and tells of the same sessions.
        session = self.create(expires=_ago(1))
        self.store.delete_expired_sessions(on_deleted=WithoutTickets(batches.append))
        [told] = batches[1]
        self.assertEqual(replace(told, ticket=session.ticket), DeletedSession.of(session))

    def test_clean_up_of_one_partition(self) -> None:
        self.needs_cleanup()
        other = self.create(partition="other", expires=_ago(1))
        self.create(partition="mine", expires=_ago(1))
        self.assertEqual(self.store.delete_expired_sessions(partition="mine"), 1)
        self.assertIs(self.store.delete_user_session(other.key), True)

    def test_a_dry_run_counts_and_removes_nothing(self) -> None:
        self.needs_cleanup()
        session = self.create(expires=_ago(1))
        self.create()
        self.assertEqual(self.store.delete_expired_sessions(dry_run=True), 1)
        self.assertIs(self.store.delete_user_session(session.key), True)

    def test_clean_up_stops_when_told(self) -> None:
        self.needs_cleanup()
        for _ in range(3):
            self.create(expires=_ago(1))
        batches: list[Any] = []
        removed = self.store.delete_expired_sessions(
            batch_size=1, on_deleted=batches.append, should_stop=lambda: len(batches) >= 2
        )
        self.assertEqual(removed, 2)
        self.assertEqual(self.store.delete_expired_sessions(max_seconds=0), 0)
        self.assertEqual(self.store.delete_expired_sessions(), 1)

    def test_clean_up_refuses_what_makes_no_sense(self) -> None:
        self.needs_cleanup()
        for arguments in (
            {"batch_size": 0},
            {"batch_size": 10**9},
            {"max_seconds": -1},
            {"sleep": -1},
        ):
            with self.subTest(arguments=arguments), self.assertRaises(ValueError):
                self.store.delete_expired_sessions(**arguments)

    def test_two_clean_ups_remove_everything_once(self) -> None:
        self.needs_cleanup()
        for _ in range(20):
            self.create(expires=_ago(1))
        clean_up = functools.partial(self.store.delete_expired_sessions, batch_size=3, sleep=0)
        self.assertEqual(sum(self.race(clean_up, clean_up)), 20)

    def test_clean_up_spares_what_is_renewed_meanwhile(self) -> None:
        self.needs_cleanup()
        for _ in range(5):
            session = self.create(expires=_ago(1))
            renewal = self.update_of(session, expires=None)
            renewed, removed = self.race(
                functools.partial(self.store.update_user_session, session.key, renewal),
                functools.partial(self.store.delete_expired_sessions, sleep=0),
            )
            if isinstance(renewed, SessionMissing):
                self.assertEqual(removed, 1)
                self.assertIsNone(self.store.get_user_session(session.key))
            else:
                self.assertEqual((renewed, removed), (2, 0))
                self.assertIsNotNone(self.store.get_user_session(session.key))

    def needs_cleanup(self) -> None:
        """Leave a test that is about an ability which the store does not claim."""
        if not self._cleans_up():
            self.skipTest("The store does not clean up.")

    def _cleans_up(self) -> bool:
        store = self._itself()
        with suppress(NotImplementedError):
            if isinstance(store, UserSessionStoreCleanup):
                store.delete_expired_sessions(dry_run=True)
                return True
        return False

    # What is shown

    def test_repr_shows_neither_key_nor_ticket(self) -> None:
        session = self.create(ticket=b"secret ticket")
        criteria = UserSessionsFilter(subject_id="alice", exclude_key=session.key)
        (deleted,) = self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        for shown in (session, UserSessionUpdate.of(session), deleted, criteria):
            self.assertNotIn(session.key, repr(shown))
            self.assertNotIn("secret", repr(shown))
            self.assertIn("alice", repr(shown))


def _add_twins(cls: type[UserSessionStoreTests]) -> None:
    for name, test in list(vars(cls).items()):
        if name.startswith("test_"):
            setattr(cls, f"{name}_async", _asynchronously(test))


def _asynchronously(test: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(test)
    def twin(self: UserSessionStoreTests) -> None:
        self.store = _Twins(self.store)
        test(self)

    return twin


_add_twins(UserSessionStoreTests)
