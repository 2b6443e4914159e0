"""Django's Redis cache is read with one client, where that is the same."""

import os
from unittest import mock

import pytest
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from bff_sessions.stores.cached.backend import Cache

pytestmark = [
    # Runs where the servers are named.
    pytest.mark.database,
    pytest.mark.skipif("TEST_REDIS_URL" not in os.environ, reason="names no server"),
]
BACKEND = "django.core.cache.backends.redis.RedisCache"


class OwnRedisCache(RedisCache):
    pass


@pytest.fixture
def redis(settings):
    url = os.environ["TEST_REDIS_URL"]
    settings.CACHES = {
        "default": {
            "BACKEND": BACKEND,
            "LOCATION": url,
            "KEY_PREFIX": "test_redis",
            "VERSION": 3,
        },
        "several": {"BACKEND": BACKEND, "LOCATION": [url, url]},
        "own": {"BACKEND": f"{__name__}.OwnRedisCache", "LOCATION": url},
    }
    yield
    for cache in caches.all():
        cache.delete_many(["number", "bytes"])
        cache._cache.get_client().connection_pool.disconnect()


@pytest.mark.parametrize(("alias", "clients"), [("default", 0), ("several", 3), ("own", 3)])
def test_what_is_read_is_what_django_reads(redis, alias, clients):
    cache, front = caches[alias], Cache(alias)
    assert front.tell({"number": 7}, 60).confirm()
    front.put("bytes", b"\0\xff", 60)
    names = ["bytes", "number", "nothing"]
    expected = {"bytes": b"\0\xff", "number": 7}
    assert front.get(names) == cache.get_many(names) == expected
    with mock.patch.object(RedisCacheClient, "get_client", autospec=True) as get_client:
        get_client.side_effect = ConnectionError
        for _ in range(3):
            front._away_until = 0.0
            assert front.get(names) == (None if clients else expected)
    assert get_client.call_count == clients


@pytest.mark.parametrize(("alias", "reads"), [("default", 0), ("several", 1), ("own", 1)])
def test_write_is_read_back_unless_the_class_raises(redis, alias, reads):
    cache = caches[alias]
    with mock.patch.object(type(cache), "get_many", return_value={}) as get_many:
        assert Cache(alias).tell({"number": 7}, 60).confirm() is (reads == 0)
    assert get_many.call_count == reads
