"""Wait until replicas have what was written: WAIT, on the connection of a later write.

WAIT waits for the writes of its own connection. A write to a *fence*, on the server of the session
and after the session, makes it wait for both, whichever connection wrote the session.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any, Final

from bff_sessions._compat import redis_cluster
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis.options import RedisOptions

# Seconds for which the number of replicas of a server is known.
_KNOWN: Final = 10.0
# Tries to reach the node that has a key now.
_TRIES: Final = 3


class Replicas:
    """The replicas of each primary."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._known: dict[str, tuple[float, int]] = {}

    def confirm(self, client: Any, names: Collection[bytes]) -> Steps[bool]:
        """Return whether enough replicas have what was written under `names`."""
        for fence in self._fences(client, names):
            if not (yield from self._confirm(client, fence)):
                return False
        return True

    def _confirm(self, client: Any, fence: bytes) -> Steps[bool]:
        write, limit = ("SET", fence, 1, "PX", 1000), int(self._options.confirm_within * 1000)
        for _ in range(_TRIES):
            node = self._node_of(client, fence)
            number = yield from self._number_of(client, node)
            if number == 0:
                return True
            written, confirmed = yield from _send(client, node, [write, ("WAIT", number, limit)])
            if not isinstance(written, Exception):
                return not isinstance(confirmed, Exception) and confirmed >= number
            # Another node has the key now. This learns which.
            yield partial(client.execute_command, *write), partial(client.execute_command, *write)
        return False

    def _number_of(self, client: Any, node: Any) -> Steps[int]:
        """Return how many replicas must confirm what is written to `node`."""
        if self._options.replicas is not None:
            return self._options.replicas
        until, number = self._known.get(_label(node), (0.0, 0))
        if time.monotonic() >= until:
            [found] = yield from _send(client, node, [("INFO", "replication")])
            number = int(found["connected_slaves"])
            self._known[_label(node)] = time.monotonic() + _KNOWN, number
        return number

    def _fences(self, client: Any, names: Collection[bytes]) -> Iterator[bytes]:
        """Yield a fence for each server of `names`: braces put it into the slot of a name."""
        servers = {_label(self._node_of(client, name)): name for name in names}
        for name in servers.values():
            yield b"%sfence:{%s}" % (self._options.key_prefix.encode(), name)

    def _node_of(self, client: Any, name: bytes) -> Any:
        return client.get_node_from_key(name) if self._options.cluster else None


def _send(client: Any, node: Any, commands: Sequence[tuple[Any, ...]]) -> Steps[list[Any]]:
    """Send `commands` over one connection. Return their results or errors."""
    results: list[Any] = yield (
        partial(_send_now, client, node, commands),
        partial(_send_later, client, node, commands),
    )
    return results


def _send_now(client: Any, node: Any, commands: Sequence[tuple[Any, ...]]) -> Any:
    server = client if node is None else client.get_redis_connection(node)
    return pipeline_of(server, commands).execute(raise_on_error=False)


async def _send_later(client: Any, node: Any, commands: Sequence[tuple[Any, ...]]) -> Any:
    if node is not None:
        return await redis_cluster.send_to(node, commands)
    return await pipeline_of(client, commands).execute(raise_on_error=False)


def pipeline_of(client: Any, commands: Sequence[tuple[Any, ...]]) -> Any:
    """Return a pipeline of `client` with `commands`."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline


def _label(node: Any) -> str:
    return "" if node is None else str(node.name)
