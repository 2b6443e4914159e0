import threading
from unittest import mock

from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings

from bff_sessions.contract import UserSessionsFilter
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


# In this zone the hour that the suite looks at comes twice.
@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
class TestOrmUserSessionStoreWithoutTimeZones(TestOrmUserSessionStore):
    pass
