"""A Redis Cluster as one of Django's caches."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bff_sessions._compat.django_redis_cluster import ClusterCache
from bff_sessions.stores.redis.clients import Clients
from bff_sessions.stores.redis.options import RedisOptions


class RedisClusterCache(ClusterCache):
    """A Django cache in a Redis Cluster. LOCATION is a URL of a node, or a list of URLs.

    The only other option is ``OPTIONS["socket_timeout"]``, in seconds.
    """

    def connect(self, urls: tuple[str, ...]) -> Any:
        """Return the client that all threads share."""
        return _clients_of(urls, self.options.get("socket_timeout", 1.0)).get()


@lru_cache
def _clients_of(urls: tuple[str, ...], timeout: float) -> Clients:
    return Clients(RedisOptions(url=urls, cluster=True, timeout=timeout))
