# The whole test.
import tempfile
from unittest import TestCase

from bff_sessions.testing import UserSessionStoreTests
from tests.support.file_store import FileStore


class TestFileStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return FileStore(self.enterContext(tempfile.TemporaryDirectory()))
