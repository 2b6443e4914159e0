"""Connect to a server, to the primary that Sentinels name, or to a Cluster, with redis-py.

redis-py may repeat a command whose answer was lost. The package says why that does no harm.
"""

from __future__ import annotations

import random
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import redis.asyncio
import redis.sentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url

from bff_sessions.stores.redis.options import RedisOptions

# For each server. redis-py 8 raises an error at 100 connections instead of waiting for one.
_MAX_CONNECTIONS: Final = 10_000

# The parts of the URL of a Sentinel that are those of the primary.
_OF_PRIMARY: Final = {"username", "password", "db"}


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
    # Not always the same node first, because it may have failed.
    first, *others = random.sample(list(map(urlsplit, urls)), len(urls))
    nodes = [package.cluster.ClusterNode(node.hostname, node.port or 6379) for node in others]
    return package.RedisCluster.from_url(
        _at(urls[0], first),
        startup_nodes=nodes or None,
        # A retry closes connections that other threads and tasks use.
        retry=package.retry.Retry(NoBackoff(), 0),
        # A redirection says which node has the slot. By default, each fifth one makes the client
        # ask for all slots, and close connections in use.
        reinitialize_steps=0,
        **settings,
    )


def _at(url: str, node: SplitResult) -> str:
    """Return `url`, with its user and password, for the host and port of `node`."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=user + at + node.netloc.rpartition("@")[2]).geturl()


def _ask_sentinels(package: Any, urls: list[str], name: str, settings: dict[str, Any]) -> Any:
    servers: list[dict[str, Any]] = [parse_url(url) for url in urls]  # type: ignore[no-untyped-call]
    addresses = [(server.get("host"), server.get("port", 26379)) for server in servers]
    primary = {name: value for name, value in servers[0].items() if name in _OF_PRIMARY}
    others = servers[0].keys() - _OF_PRIMARY - {"host", "port", "connection_class"}
    settings |= {name: servers[0][name] for name in others}  # Of TLS, for example.
    settings["ssl"] = urls[0].startswith("rediss:")
    sentinel = package.sentinel.Sentinel(addresses, sentinel_kwargs=dict(settings), **settings)
    return sentinel.master_for(name, **primary)
