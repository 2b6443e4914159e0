import pytest

from bff_sessions.stores import get_store
from tests.support.stores import MEMORY, NATIVE_EXPIRY

# The admin calls the same verbs of both.
STORES = [MEMORY, pytest.param(NATIVE_EXPIRY, marks=pytest.mark.thorough)]


@pytest.fixture(autouse=True, params=STORES, ids=["memory", "native-expiry"])
def store(request, settings):
    """Return the configured store, which knows nothing of the ORM."""
    settings.BFF_SESSIONS = {"STORE": request.param}
    return get_store()


@pytest.fixture
def failing(store, monkeypatch):
    """Return a function that lets verbs of the store fail."""

    def fail(*verbs):
        def verb(*args, **kwargs):
            raise ConnectionError("redis://:s3cret@redis.example")

        for name in verbs:
            monkeypatch.setattr(store, name, verb)

    return fail
