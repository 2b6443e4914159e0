import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from unittest import mock, skipUnless

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from bff_sessions._compat import statements
from bff_sessions.contract import UPDATED, UserSessionsFilter
from bff_sessions.models import Session
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreNoticesTests,
    UserSessionStoreTests,
    UserSessionStoreTransactionsTests,
    make_session,
)


class TestOrmUserSessionStore(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreNoticesTests,
    UserSessionStoreTransactionsTests,
    TransactionTestCase,
):
    def make_store(self):
        return OrmUserSessionStore()

    def test_peek_at_a_thousand_sessions_is_one_statement(self):
        session = self.create()
        keys = [session.key, *(token_hex(32) for _ in range(1_000))]
        with self.assertNumQueries(1) as captured:
            self.assertEqual(set(self.store.peek_user_sessions(keys)), {session.key})
        self.assertNotIn("ticket", captured.captured_queries[0]["sql"])

    def test_a_delete_spares_who_has_changed_hands_since_it_looked(self):
        session = self.create()

        def change_hands(store):
            update = self.update_of(session, subject_id="bob")
            store.update_user_session(session.key, update, if_version=1)

        with self.meanwhile("_lock_keys", change_hands):
            deleted = self.store.delete_user_sessions(UserSessionsFilter(subject_id="alice"))
        self.assertEqual(deleted, [])
        self.assertEqual(self.found(subject_id="bob"), {session.key})

    def test_what_is_locked_cannot_be_changed_by_others(self):
        store, session = OrmUserSessionStore(), make_session()
        store.create_user_session(session)
        # Also on SQLite, whose transactions begin as readers unless told otherwise, as ours are.
        if connection.vendor == "sqlite":
            self.enterContext(mock.patch.object(connection, "transaction_mode", None))
        done = threading.Event()

        def write():
            try:
                store.update_user_session(session.key, self.update_of(session))
                done.set()
            finally:
                connection.close()

        writer = threading.Thread(target=write)
        with transaction.atomic():
            [row] = store._lock(Session.objects.filter(key=session.key))
            self.assertEqual(row.key, session.key)
            writer.start()
            self.assertFalse(done.wait(0.3))
            self.assertEqual(store.get_user_session(session.key).version, 1)
        writer.join()
        self.assertTrue(done.is_set())

    def test_overwriting_names_only_columns_that_change(self):
        session = self.create()
        with CaptureQueriesContext(connection) as captured:
            self.store.overwrite_user_session(session, replace(session, ticket=b"new"))
        [statement] = captured
        assignments, _ = statement["sql"].split("WHERE")
        named = {name for name in (*UPDATED, "version", "key") if name in assignments}
        self.assertEqual(named, {"ticket", "version"})

    def test_mysql_is_told_that_a_ticket_is_binary(self):
        session = self.create()
        with CaptureQueriesContext(connection) as captured:
            self.store.overwrite_user_session(session, replace(session, ticket=b"\xff\xfe"))
            self.store.create_user_session(make_session(ticket=b"\xff\xfe"))
        for statement in captured:
            self.assertEqual("_binary" in statement["sql"], connection.vendor == "mysql")

    def test_page_is_one_statement_that_reads_no_ticket(self):
        for age in range(3):
            self.create(created=datetime.now(UTC) - timedelta(seconds=age))
        filter = UserSessionsFilter(subject_id="alice")
        cursor = None
        for _ in range(2):
            with CaptureQueriesContext(connection) as captured:
                page = OrmUserSessionStore().query_user_sessions(filter, cursor=cursor, limit=2)
            cursor = page.next_cursor
            [statement] = captured
            self.assertNotIn("ticket", statement["sql"])
        self.assertIsNone(cursor)

    @skipUnless(connection.vendor == "sqlite", "The others decide by what the table holds")
    def test_page_is_found_by_an_index(self):
        for criteria, index, sorts in (
            ({"subject_id": "alice", "partition": "default"}, "bff_sessions_sign_ins", False),
            ({"subject_id": "alice"}, "bff_sessions_sign_ins", True),
            ({"session_id": "1"}, "bff_sessions_sid", True),
            ({"user_id": "42"}, "bff_sessions_user", True),
        ):
            with CaptureQueriesContext(connection) as captured:
                OrmUserSessionStore().query_user_sessions(UserSessionsFilter(**criteria))
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {captured[0]['sql']}")
                plan = str(cursor.fetchall())
            with self.subTest(criteria=criteria):
                self.assertIn(f"USING INDEX {index} ", plan)
                self.assertEqual("TEMP B-TREE" in plan, sorts)

    def test_sessions_of_one_moment_are_listed_newest_row_first(self):
        moment = datetime.now(UTC)
        keys = [self.create(created=moment).key for _ in range(4)]
        self.assertEqual([s.key for s in self.listed(1)], keys[::-1])

    def test_cursor_of_another_database_is_refused(self):
        self.create()
        self.create()
        filter = UserSessionsFilter(subject_id="alice")
        cursor = OrmUserSessionStore().query_user_sessions(filter, limit=1).next_cursor
        with self.assertRaises(ValueError):
            OrmUserSessionStore(using="other").query_user_sessions(filter, cursor=cursor)

    # What clean-up asks the database for

    def test_clean_up_reads_nothing_of_what_it_removes(self):
        statements = self.clean_up_of_5(batch_size=2)
        if connection.vendor == "mysql":
            # Where it begins, keys, locked numbers, DELETE: of each batch.
            self.assertEqual(len(statements), 3 * 4 + 1)
        else:
            # Where it begins, SQLite's lock, DELETE.
            locks = connection.vendor == "sqlite"
            self.assertEqual(len(statements), 3 * (2 + locks) + 1)
        for statement in statements:
            self.assertNotIn("ticket", statement)
            self.assertNotIn("subject_id", statement)

    def test_clean_up_reads_what_it_tells_of_when_it_locks_it(self):
        told = []
        statements = self.clean_up_of_5(batch_size=2, on_deleted=told.extend)
        self.assertEqual({len(session.ticket) for session in told}, {len(make_session().ticket)})
        extra = connection.vendor in ("sqlite", "mysql")  # The lock; the keys.
        self.assertEqual(len(statements), 3 * (3 + extra) + 1)
        self.assertEqual(sum("ticket" in statement for statement in statements), 3)

    def test_clean_up_reads_no_tickets_that_nobody_wants(self):
        told = []
        statements = self.clean_up_of_5(on_deleted=told.extend, with_tickets=False)
        self.assertEqual([session.ticket for session in told], [b""] * 5)
        self.assertFalse([statement for statement in statements if "ticket" in statement])

    def test_clean_up_deletes_by_primary_key_what_it_has_locked(self):
        deletes = [s for s in self.clean_up_of_5() if s.startswith("DELETE")]
        for statement in deletes:
            self.assertRegex(statement, r"^DELETE FROM \S+ WHERE \S+id[`\"]? IN \(")
            if connection.vendor == "postgresql":
                self.assertIn("FOR UPDATE SKIP LOCKED", statement)

    def test_a_batch_begins_where_the_last_one_ended(self):
        begin = (
            "expires"
            + {"sqlite": '" >= ', "postgresql": '" >= ', "mysql": "` >= "}[connection.vendor]
        )
        looks = [
            statement.split(begin)[1].split(" ORDER")[0].rstrip(")")
            for statement in self.clean_up_of_5(batch_size=2)
            if "LIMIT 1" in statement and statement.startswith("SELECT")
        ]
        self.assertEqual(looks, sorted(looks))
        self.assertEqual(len(set(looks)), 4)

    @skipUnless(connection.vendor == "postgresql", "about PostgreSQL")
    def test_a_clean_up_waits_for_the_disk_only_if_the_transaction_is_not_its_own(self):
        waits = []

        def note(execute, sql, *args):
            if sql.startswith("DELETE"):
                with connection.connection.cursor() as cursor:
                    [wait] = cursor.execute("SHOW synchronous_commit").fetchone()
                waits.append(wait)
            return execute(sql, *args)

        def show():
            with connection.cursor() as cursor:
                cursor.execute("SHOW synchronous_commit")
                return cursor.fetchone()[0]

        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
        self.addCleanup(connection.close)
        for on_deleted in (None, list):
            self.create(expires=datetime.now(UTC))
            with connection.execute_wrapper(note):
                self.store.delete_expired_sessions(on_deleted=on_deleted)
            self.assertEqual(show(), "on")
            self.create(expires=datetime.now(UTC))
            with transaction.atomic(), connection.execute_wrapper(note):
                self.store.delete_expired_sessions(on_deleted=on_deleted)
                self.assertEqual(show(), "on")
            self.create(expires=datetime.now(UTC))
            connection.set_autocommit(False)
            try:
                with connection.execute_wrapper(note):
                    self.store.delete_expired_sessions(on_deleted=on_deleted)
                self.assertEqual(show(), "on")
                connection.commit()
            finally:
                connection.set_autocommit(True)
        self.assertEqual(waits, ["off", "on", "on"] * 2)

    def clean_up_of_5(self, **arguments):
        """Remove five expired sessions; the statements, without those of the transaction."""
        for age in range(5):
            self.create(expires=datetime.now(UTC) - timedelta(hours=age))
        with CaptureQueriesContext(connection) as captured:
            removed = self.store.delete_expired_sessions(sleep=0, **arguments)
        self.assertEqual(removed, 5)
        kinds = ("SELECT", "UPDATE", "DELETE")
        return [query["sql"] for query in captured if query["sql"].startswith(kinds)]


# In this zone the hour that the suite looks at comes twice.
@pytest.mark.thorough
@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
class TestOrmUserSessionStoreWithoutTimeZones(TestOrmUserSessionStore):
    pass


@pytest.mark.thorough
class TestOrmUserSessionStoreWithPlainStatements(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreNoticesTests,
    UserSessionStoreTransactionsTests,
    TransactionTestCase,
):
    """What `bff_sessions._compat.statements` falls back to."""

    def make_store(self):
        self.enterContext(mock.patch.object(statements, "IS_PLAIN", True))
        return OrmUserSessionStore()


@skipUnless(connection.vendor == "postgresql", "about PostgreSQL")
class TestCursorOfPostgreSQL(TransactionTestCase):
    def setUp(self):
        # Here, as it needs the driver.
        from bff_sessions._compat.psycopg import open_cursor

        self.open_cursor = open_cursor

    def test_it_sends_values_beside_the_statement(self):
        from django.db.backends.postgresql.base import Cursor, ServerBindingCursor

        with self.open_cursor(connection) as cursor:
            self.assertIs(type(cursor.cursor), ServerBindingCursor)
            cursor.execute("SELECT %(ticket)s::bytea", {"ticket": b"\0'"})
            self.assertEqual(cursor.fetchone(), (b"\0'",))
            # Hexadecimal digits would be text.
            self.assertEqual(cursor.cursor.pgresult.fformat(0), 1)
        # Everybody else has Django's.
        with connection.cursor() as cursor:
            self.assertIs(type(cursor.cursor), Cursor)

    def test_it_prepares_nothing_unless_told_to(self):
        def prepared():
            for _ in range(20):
                OrmUserSessionStore().get_user_session("a" * 64)
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_prepared_statements")
                return cursor.fetchone()[0]

        self.assertEqual(prepared(), 0)
        connection.ensure_connection()
        self.addCleanup(setattr, connection.connection, "prepare_threshold", None)
        connection.connection.prepare_threshold = 5
        self.assertEqual(prepared(), 1)

    def test_it_is_the_one_of_the_settings_if_they_name_one(self):
        import psycopg

        class Own(psycopg.ClientCursor):
            pass

        connection.ensure_connection()
        self.enterContext(mock.patch.object(connection.connection, "cursor_factory", Own))
        with self.open_cursor(connection) as cursor:
            self.assertIs(type(cursor.cursor), Own)
        session = make_session()
        OrmUserSessionStore().create_user_session(session)
        self.assertEqual(OrmUserSessionStore().get_user_session(session.key), session)
