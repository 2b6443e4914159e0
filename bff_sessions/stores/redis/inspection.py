"""The answers of the servers to system checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bff_sessions.stores.redis.link import Link


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that takes writes."""

    policy: str | None
    """Its ``maxmemory-policy``; None if it does not allow to ask."""
    replicas: int
    is_in_cluster: bool


def find_primaries(link: Link) -> dict[str, Primary]:
    """Return the servers that take writes by their addresses, see Link.ask_primaries().

    Raises:
        StoreUnavailable: if they cannot be reached.
    """
    return link.ask_primaries(_look_at)


def _look_at(server: Any) -> Primary:
    replicas = int(server.info("replication")["connected_slaves"])
    return Primary(_policy(server), replicas, _is_in_cluster(server))


def _is_in_cluster(server: Any) -> bool:
    return bool(int(server.info("cluster").get("cluster_enabled", 0)))


def _policy(server: Any) -> str | None:
    try:
        policy = server.config_get("maxmemory-policy").get("maxmemory-policy")
    except Exception:  # ACL, or a service that has no CONFIG.
        return None
    return None if policy is None else str(policy)
