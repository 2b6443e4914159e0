"""A store of the six required verbs alone: what the base class adds must be correct."""

from unittest import TestCase

from bff_sessions.testing import UserSessionStoreTests
from tests.support.minimal import MinimalStore


class TestMinimalStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return MinimalStore()
