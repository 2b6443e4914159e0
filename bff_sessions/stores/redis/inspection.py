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
    restores_snapshots: bool
    """True if a restart brings back what was stored at the last snapshot, and nothing later."""


def find_primaries(link: Link) -> dict[str, Primary]:
    """Return the servers that take writes by their addresses, see Link.ask_primaries().

    Raises:
        StoreUnavailable: if they cannot be reached.
    """
    return link.ask_primaries(_look_at)


def _look_at(server: Any) -> Primary:
    replicas = int(server.info("replication")["connected_slaves"])
    return Primary(
        policy=_config_of(server, "maxmemory-policy"),
        replicas=replicas,
        is_in_cluster=_is_in_cluster(server),
        restores_snapshots=_restores_snapshots(server),
    )


def _is_in_cluster(server: Any) -> bool:
    return bool(int(server.info("cluster").get("cluster_enabled", 0)))


def _restores_snapshots(server: Any) -> bool:
    if int(server.info("persistence").get("aof_enabled", 0)):
        return False  # The server restores the log of all writes instead.
    return bool(_config_of(server, "save"))


def _config_of(server: Any, name: str) -> str | None:
    try:
        value = server.config_get(name).get(name)
    except Exception:  # ACL, or a service that has no CONFIG.
        return None
    return None if value is None else str(value)
