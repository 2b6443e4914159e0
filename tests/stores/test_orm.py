from django.test import TransactionTestCase, override_settings

from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import UserSessionStoreTests


class TestOrmUserSessionStore(UserSessionStoreTests, TransactionTestCase):
    def make_store(self):
        return OrmUserSessionStore()


# In this zone the hour that the suite looks at comes twice.
@override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin")
class TestOrmUserSessionStoreWithoutTimeZones(TestOrmUserSessionStore):
    pass
