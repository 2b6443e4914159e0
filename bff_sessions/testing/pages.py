"""Tests of pages."""

from __future__ import annotations

import random
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
)
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing.fixtures import ago
from bff_sessions.testing.harness import StoreTests


class PageTests(StoreTests):
    """Pages show each session once."""

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
        keys = {age: self.create(created=ago(age), renewed=ago(60 - age)).key for age in ages}
        expected = [keys[age] for age in sorted(ages)]
        for limit in (1, 2, 4, 5, 6, 1000):
            with self.subTest(limit=limit):
                self.assertEqual([s.key for s in self.listed(limit)], expected)

    def test_pages_list_sessions_as_they_are_without_tickets(self) -> None:
        session = self.create(expires=None)
        self.store.update_user_session(session.key, self.update_of(session, user_id="43"))
        current = self.store.get_user_session(session.key)
        self.assertEqual(self.listed(), [replace(current, ticket=b"")])

    def test_pages_list_live_sessions_that_match(self) -> None:
        mine, other = self.create(user_id="7"), self.create(issuer=None)
        self.create(expires=ago(1))
        self.create(subject_id="bob")
        elsewhere = self.create(partition="elsewhere", subject_id="carol")
        self.create(subject_id="carol")
        for criteria, expected in (
            ({"subject_id": "alice"}, {mine.key, other.key}),
            ({"subject_id": "alice", "exclude_key": mine.key}, {other.key}),
            ({"subject_id": "alice", "issuer": None}, {other.key}),
            ({"user_id": "7"}, {mine.key}),
            ({"session_id": mine.session_id}, {mine.key}),
            ({"subject_id": "Alice"}, set()),
            ({"subject_id": "carol", "partition": "elsewhere"}, {elsewhere.key}),
        ):
            with self.subTest(criteria=criteria):
                found = [session.key for session in self.listed(1, **criteria)]
                self.assertEqual(sorted(found), sorted(expected))

    def test_session_that_moves_keeps_its_place(self) -> None:
        created = ago(10)
        for _ in range(4):
            self.create(created=created)
        order = [session.session_id for session in self.listed()]
        pages = self.pages(limit=1)
        seen = [session.session_id for session in next(pages).sessions]
        for session in self.store.get_user_sessions(UserSessionsFilter(subject_id="alice")):
            moved = replace(session, key=token_hex(32))
            self.store.rekey_user_session(session.key, moved, if_version=session.version)
        seen += [session.session_id for page in pages for session in page.sessions]
        self.assertEqual(seen, order)

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
        self.create(created=ago(10))
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
        # Few moments, so that several sessions share one.
        moments = [ago(age) for age in (10, 20, 30)]
        keys: dict[str | None, str] = {}

        def create() -> None:
            moment = chance.choice([*moments, ago(0)])
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
                    update = self.update_of(session, expires=ago(1))
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
