import threading
from dataclasses import replace
from unittest import mock, skipUnless

from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from bff_sessions.contract import UPDATED, UserSessionsFilter
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import UserSessionStoreTests, make_session


class TestOrmUserSessionStore(UserSessionStoreTests, TransactionTestCase):
    def make_store(self):
        return OrmUserSessionStore()

    def test_a_delete_spares_who_has_changed_hands_since_it_looked(self):
        session = self.create()

        def change_hands(store):
            update = self.update_of(session, subject_id="bob")
            store.update_user_session(session.key, update, if_version=1)

        with self.meanwhile("_lock", change_hands):
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
            self.assertEqual(store._lock([session.key]), [session.key])
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


# In this zone the hour that the suite looks at comes twice.
@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
class TestOrmUserSessionStoreWithoutTimeZones(TestOrmUserSessionStore):
    pass


@skipUnless(connection.vendor == "postgresql", "about PostgreSQL")
class TestCursorOfPostgreSQL(TransactionTestCase):
    def setUp(self):
        # Here, as it needs the driver.
        from bff_sessions.stores.postgresql import open_cursor

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
