import time
from types import SimpleNamespace
from unittest import mock

import pytest
from django.core.cache import caches

from bff_sessions.stores.cached import (
    CachedUserSessionStore,
    backend,
    invalidation,
    notices,
    reading,
)
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.caches import FAKE, FakeCache, is_warm


@pytest.fixture
def cache(settings):
    settings.CACHES = FAKE
    FakeCache.calls.clear()
    yield caches["default"]
    FakeCache.is_down = FakeCache.refuses = False
    caches["default"].clear()


@pytest.fixture
def clock():
    """The time as the store sees it; the cache's own goes on as always."""
    ahead = SimpleNamespace(seconds=0)
    fake = SimpleNamespace(
        time=lambda: time.time() + ahead.seconds,
        monotonic=lambda: time.monotonic() + ahead.seconds,
    )
    with (
        mock.patch.object(backend, "time", fake),
        mock.patch.object(invalidation, "time", fake),
        mock.patch.object(notices, "time", fake),
        mock.patch.object(reading, "time", fake),
    ):
        yield ahead


@pytest.fixture
def inner():
    return InMemoryUserSessionStore()


@pytest.fixture
def ours(cache, inner):
    return CachedUserSessionStore(inner)


@pytest.fixture
def theirs(cache, inner):
    """The same on another host: it shares store and cache and nothing else."""
    return CachedUserSessionStore(inner)


@pytest.fixture
def warm(ours, theirs):
    """A session that is in the cache."""
    session = make_session()
    ours.create_user_session(session)
    assert ours.get_user_session(session.key) == session
    assert is_warm(theirs, session.key)
    return session


@pytest.fixture
def orm(transactional_db, cache):
    return CachedUserSessionStore(OrmUserSessionStore())


@pytest.fixture
def row(orm):
    """A session of the database that is in the cache."""
    session = make_session()
    orm.create_user_session(session)
    orm.get_user_session(session.key)
    assert is_warm(orm, session.key)
    return session
