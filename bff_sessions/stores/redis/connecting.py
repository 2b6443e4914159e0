"""Connect to a server, to the primary that Sentinels name, or to a Cluster, with redis-py.

redis-py may repeat a command whose answer was lost. That does no harm, because every script finds
by an ID that it has run before.
"""

from __future__ import annotations

import random
from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio
import redis.sentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url

from bff_sessions.stores.redis.options import RedisOptions

# For each server. redis-py 8 raises an error at 100 connections instead of waiting for one.
_MAX_CONNECTIONS: Final = 10_000


def connect(options: RedisOptions, *, asynchronous: bool) -> Any:
    """Return a new client. It connects when it is first used, or at once to a Cluster."""
    package: Any = redis.asyncio if asynchronous else redis
    urls = [options.url] if isinstance(options.url, str) else list(options.url or ())
    settings: dict[str, Any] = {
        "socket_timeout": options.timeout,
        "socket_connect_timeout": options.timeout,
        "max_connections": _MAX_CONNECTIONS,
        # Its answers are read more quickly than those of 3, and no connection begins with HELLO.
        "protocol": 2,
    }
    if options.sentinel is not None:
        return _ask_sentinels(package, urls, options.sentinel, settings)
    if not options.cluster:
        return package.from_url(urls[0], **settings)
    # The first one may be away. The next client then asks another one first.
    first, *others = random.sample(urls, len(urls))
    nodes = [
        package.cluster.ClusterNode(parts.hostname, parts.port or 6379)
        for parts in map(urlsplit, others)
    ]
    return package.RedisCluster.from_url(
        first,
        startup_nodes=nodes or None,
        # A retry closes connections that other threads and tasks use.
        retry=package.retry.Retry(NoBackoff(), 0),
        # A redirection says which node has the slot. By default, each fifth one makes the client
        # ask for all slots, and close connections in use.
        reinitialize_steps=0,
        **settings,
    )


def _ask_sentinels(package: Any, urls: list[str], name: str, settings: dict[str, Any]) -> Any:
    servers: list[dict[str, Any]] = [parse_url(url) for url in urls]  # type: ignore[no-untyped-call]
    addresses = [(server.get("host"), server.get("port", 26379)) for server in servers]
    sentinel = package.sentinel.Sentinel(addresses, sentinel_kwargs=dict(settings), **settings)
    primary = {k: v for k, v in servers[0].items() if k in ("username", "password", "db")}
    return sentinel.master_for(name, ssl=urls[0].startswith("rediss:"), **primary)
