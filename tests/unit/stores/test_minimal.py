"""A store of the six required verbs alone: what the base class adds must be correct."""

from unittest import TestCase

import pytest

from bff_sessions.testing import UserSessionStoreTests
from tests.support.minimal import MinimalStore


# The store with native expiry has no more verbs than these.
@pytest.mark.thorough
class TestMinimalStore(UserSessionStoreTests, TestCase):
    def make_store(self):
        return MinimalStore()
