"""A Redis Cluster as the cache: three primaries with a replica each."""

from unittest import mock

import pytest
from django.core.cache import caches
from django.test import SimpleTestCase

from bff_sessions.checks.stores import check_stores
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.cached.entries import names_of
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import (
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    UserSessionStoreTests,
    make_session,
)
from tests.support.caches import ALICES, is_warm, update_of

pytest.importorskip("redis")

BACKEND = "bff_sessions.stores.cached.cluster.RedisClusterCache"


@pytest.fixture(autouse=True)
def cluster(redis_cluster, settings):
    urls = [node.url for node in redis_cluster.nodes]
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": urls}}
    return redis_cluster


@pytest.fixture
def inner():
    return InMemoryUserSessionStore()


@pytest.fixture
def ours(inner):
    return CachedUserSessionStore(inner)


@pytest.fixture
def theirs(inner):
    return CachedUserSessionStore(inner)


def make_warm(store):
    session = make_session()
    store.create_user_session(session)
    store.get_user_session(session.key)
    assert is_warm(store, session.key)
    return session


class TestSuite(
    UserSessionStoreTests,
    UserSessionStoreCleanupTests,
    UserSessionStoreDevicesTests,
    UserSessionStoreLeasesTests,
    SimpleTestCase,
):
    """The contract's own tests."""

    def make_store(self):
        return CachedUserSessionStore(InMemoryUserSessionStore())


def test_cache_does_what_those_of_django_do():
    cache = caches["default"]
    cache.set_many({"one": 1, "two": b"2"}, 60)
    assert cache.get_many(["one", "two", "three"]) == {"one": 1, "two": b"2"}
    assert cache.add("one", 3) is False
    assert cache.incr("one") == 2
    cache.delete_many(["one", "three"])
    assert (cache.get("one"), cache.get("two")) == (None, b"2")
    cache.clear()
    assert cache.get("two") is None


def test_names_of_a_session_are_on_one_node(cluster):
    cache = caches["default"]
    for _ in range(20):
        names = map(cache.make_key, names_of(make_session().key))
        assert len({cluster.slot_of(name) for name in names}) == 1


def test_writes_are_seen_at_once_and_cached_again(ours, theirs):
    for _ in range(20):
        session = make_warm(ours)
        ours.update_user_session(session.key, update_of(session, ticket=b"new"), if_version=1)
        assert theirs.get_user_session(session.key).ticket == b"new"
        assert is_warm(theirs, session.key)
        ours.delete_user_session(session.key)
        assert theirs.get_user_session(session.key) is None


def test_one_revocation_ends_sessions_on_all_nodes(ours, theirs):
    sessions = [make_warm(ours) for _ in range(20)]
    assert len(ours.delete_user_sessions(ALICES)) == 20
    assert not any(theirs.get_user_session(session.key) for session in sessions)


def test_signed_out_is_out_while_a_slot_moves(ours, theirs, cluster):
    session = make_warm(ours)
    name = caches["default"].make_key(names_of(session.key)[0])
    source = cluster.owner_of(name)
    target = next(node for node in cluster.primaries() if node is not source)
    with cluster.moving(cluster.slot_of(name), target):
        ours.delete_user_session(session.key)
        assert theirs.get_user_session(session.key) is None
    cluster.wait()
    assert theirs.get_user_session(session.key) is None


def test_signed_out_is_out_after_a_failover(ours, theirs, cluster):
    session, other = make_warm(ours), make_warm(ours)
    name = caches["default"].make_key(names_of(session.key)[0])
    cluster.fail_over(cluster.owner_of(name))
    ours.delete_user_session(session.key)
    assert theirs.get_user_session(session.key) is None
    assert theirs.get_user_session(other.key) == other


def test_everything_is_cleared_after_a_failover(cluster):
    cache, names = caches["default"], [f"name{number}" for number in range(20)]
    cache.set_many(dict.fromkeys(names, "value"))
    cluster.fail_over(cluster.owner_of(cache.make_key(names[0])))
    cache.clear()
    assert cache.get_many(names) == {}


def test_node_that_is_down_costs_speed_only(ours, cluster, caplog):
    session = make_warm(ours)
    name = caches["default"].make_key(names_of(session.key)[0])
    node = cluster.owner_of(name)
    node.kill()
    try:
        assert ours.get_user_session(session.key) == session
        ours.delete_user_session(session.key)
        assert ours.get_user_session(session.key) is None
        assert "could not be invalidated for ended sessions" in caplog.text
    finally:
        cluster.heal()


def test_several_nodes_are_no_replicas(settings):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"}
    assert list(check_stores()) == []


def test_write_is_not_read_back(ours):
    session = make_warm(ours)
    with mock.patch.object(type(caches["default"]), "get_many", side_effect=AssertionError):
        ours.delete_user_session(session.key)
