"""Wait until replicas have what was written: WAIT, on the connection of a later write.

WAIT waits for the writes of its own connection. A write to a *fence*, on the server of the session
and after the session, makes it wait for both, whichever connection wrote the session.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, Final

from bff_sessions._compat import redis_cluster
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

    def confirm(self, client: Any, names: Collection[bytes]) -> bool:
        """Return whether enough replicas have what was written under `names`."""
        for fence in self._fences(client, names):
            for _ in range(_TRIES):
                node, server = self._node_of(client, fence), client
                if node is not None:
                    server = client.get_redis_connection(node)
                number = self._number(node)
                if number is None:
                    number = self._learn(node, server.info("replication"))
                if number == 0:
                    break
                pipeline = server.pipeline(transaction=False)
                for command in self._commands(fence, number):
                    pipeline.execute_command(*command)
                written, confirmed = pipeline.execute(raise_on_error=False)
                if not isinstance(written, Exception):
                    if isinstance(confirmed, Exception) or confirmed < number:
                        return False
                    break
                # Another node has the key now. This learns which.
                client.execute_command(*self._commands(fence, number)[0])
            else:
                return False
        return True

    async def aconfirm(self, client: Any, names: Collection[bytes]) -> bool:
        """See confirm()."""
        if self._options.cluster:
            await client.initialize()
        for fence in self._fences(client, names):
            for _ in range(_TRIES):
                node = self._node_of(client, fence)
                server = client if node is None else node
                number = self._number(node)
                if number is None:
                    number = self._learn(node, await server.execute_command("INFO", "replication"))
                if number == 0:
                    break
                commands = self._commands(fence, number)
                if node is None:
                    pipeline = client.pipeline(transaction=False)
                    for command in commands:
                        pipeline.execute_command(*command)
                    written, confirmed = await pipeline.execute(raise_on_error=False)
                else:
                    written, confirmed = await redis_cluster.send_to(node, commands)
                if not isinstance(written, Exception):
                    if isinstance(confirmed, Exception) or confirmed < number:
                        return False
                    break
                await client.execute_command(*self._commands(fence, number)[0])
            else:
                return False
        return True

    def _number(self, node: Any) -> int | None:
        """Return how many replicas must confirm, as far as it is known."""
        if self._options.replicas is not None:
            return self._options.replicas
        until, number = self._known.get(_label(node), (0.0, 0))
        return number if time.monotonic() < until else None

    def _learn(self, node: Any, info: Any) -> int:
        number = int(info.get("connected_slaves", 0))
        self._known[_label(node)] = time.monotonic() + _KNOWN, number
        return number

    def _fences(self, client: Any, names: Collection[bytes]) -> Iterator[bytes]:
        """Yield a fence for each server of `names`: braces put it into the slot of a name."""
        servers = {_label(self._node_of(client, name)): name for name in names}
        for name in servers.values():
            yield b"{%s}fence" % name

    def _node_of(self, client: Any, name: bytes) -> Any:
        return client.get_node_from_key(name) if self._options.cluster else None

    def _commands(self, fence: bytes, number: int) -> list[tuple[Any, ...]]:
        limit = int(self._options.confirm_within * 1000)
        return [("SET", fence, 1, "PX", 1000), ("WAIT", number, limit)]


def _label(node: Any) -> str:
    return "" if node is None else str(node.name)
