from unittest import TestCase

from bff_sessions.testing import UserSessionStoreTests
from tests.support.native_expiry import NativeExpiryStore


class TestNativeExpiryStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return NativeExpiryStore()
