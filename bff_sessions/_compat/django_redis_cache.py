"""Private API of django.core.cache.backends.redis. Read in Django 5.2, 6.0 and 6.1.

For each call Django creates a client of redis-py, which takes longer than the answer of Redis. A
client is only a handle of the pool that Django keeps, and threads may share it. So this module
keeps one client for each cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

# The attribute of a cache that holds its client, so that both have the same lifetime.
_CLIENT = "_bff_sessions_client"


def get_many(cache: Any, names: Sequence[str]) -> Mapping[str, Any]:
    """Return the values under `names`, by BaseCache.get_many() for any other cache."""
    client = cache.__dict__.get(_CLIENT)
    if client is None:
        if not keeps_one_pool(cache):
            found: dict[str, Any] = cache.get_many(names)
            return found
        client = cache.__dict__[_CLIENT] = cache._cache.get_client()
    values = client.execute_command("MGET", *map(cache.make_key, names))
    loads = cache._cache._serializer.loads
    return {n: loads(value) for n, value in zip(names, values, strict=True) if value is not None}


def keeps_one_pool(cache: Any) -> bool:
    """Return whether `cache` is Django's own Redis cache with one server."""
    # A subclass may read in another way. With several servers, each call uses another one.
    classes = type(cache), type(getattr(cache, "_cache", None))
    return classes == (RedisCache, RedisCacheClient) and len(cache._servers) == 1
