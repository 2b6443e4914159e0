"""A Redis Cluster behind Django's own Redis cache, which knows single servers only.

It uses private API of django.core.cache.backends.redis, read in Django 5.2, 6.0 and 6.1. The client
of a Cluster was tried in redis-py 6.4, 7.1 and 8.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient


class ClusterCacheClient(RedisCacheClient):
    """The client that the cache calls, over one client of redis-py for all nodes."""

    _serializer: Any

    def __init__(self, connect: Callable[[], Any], serializer: Any) -> None:
        super().__init__([], serializer)
        self._connect = connect

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        return self._connect()

    # A command takes names of one slot only, and pipelines take neither MGET nor MSET.

    def get_many(self, keys: Any) -> dict[Any, Any]:
        keys = list(keys)
        values = self.get_client().mget_nonatomic(keys)
        loads = self._serializer.loads
        return {k: loads(value) for k, value in zip(keys, values, strict=True) if value is not None}

    def set_many(self, data: Any, timeout: Any) -> None:
        pipeline = self.get_client(write=True).pipeline()
        for key, value in data.items():
            pipeline.set(key, self._serializer.dumps(value), ex=timeout)
        pipeline.execute()

    def clear(self) -> bool:
        client = self.get_client(write=True)
        # Nodes redirect commands with a name only. After a failover, the client may know a replica
        # as a primary, which refuses the command.
        client.nodes_manager.initialize()
        return bool(client.flushdb(target_nodes=client.PRIMARIES))


class ClusterCache(RedisCache):
    """The base of a cache in a Redis Cluster."""

    is_redis_cluster = True

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self.options: dict[str, Any] = params.get("OPTIONS", {})
        # Django calls it with its own options.
        self._class = lambda servers, serializer=None, **options: ClusterCacheClient(
            lambda: self.connect(tuple(servers)), serializer
        )

    def connect(self, urls: tuple[str, ...]) -> Any:
        """Return the client of redis-py."""
        raise NotImplementedError
