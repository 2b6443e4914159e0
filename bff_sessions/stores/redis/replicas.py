"""Wait until replicas have what was written: WAIT, on the connection of a later write.

WAIT waits for the writes of its own connection. So each write is made again on the connection that
waits. It must do no harm there, and return 0 if the server does not have what was written: after a
failover, another server answers.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Final

from bff_sessions._compat import redis_cluster
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis.commands import Command, key_of
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

    def confirm(self, client: Any, writes: Collection[Command]) -> Steps[bool]:
        """Make `writes` again, and return whether enough replicas have them."""
        left = [(self._node_of(client, key_of(write)), False, write) for write in writes]
        for _ in range(_TRIES):
            tried, left = left, []
            for label in dict.fromkeys(_label(node) for node, *_ in tried):
                some = [one for one in tried if _label(one[0]) == label]
                results = yield from self._confirm(client, some)
                if results is None:
                    return False
                for (_, _, write), result in zip(some, results, strict=True):
                    if isinstance(result, Exception):
                        node = _node_named_by(client, result)
                        if node is None:
                            return False
                        left.append((node, not redis_cluster.has_moved(result), write))
            if not left:
                return True
        return False

    def _confirm(
        self, client: Any, some: Sequence[tuple[Any, bool, Command]]
    ) -> Steps[Sequence[Any] | None]:
        """Make the writes again on one server. Return the results; None if not confirmed."""
        node = some[0][0]
        number = self._number_known_of(node)
        if number == 0:
            return [1] * len(some)
        if number is None:
            [found] = yield from _send(client, node, [("INFO", "replication")])
            number = int(found["connected_slaves"])
            self._known[_label(node)] = time.monotonic() + _KNOWN, number
        # 0 would wait for ever.
        limit = max(1, int(self._options.confirm_within * 1000))
        commands: list[Command] = []
        for _, is_asking, write in some:
            commands += [("ASKING",), write] if is_asking else [write]
        *results, confirmed = yield from _send(client, node, [*commands, ("WAIT", number, limit)])
        results = [
            result
            for result, command in zip(results, commands, strict=True)
            if command != ("ASKING",)
        ]
        if isinstance(confirmed, Exception) or confirmed < number or 0 in results:
            return None
        return results

    def _number_known_of(self, node: Any) -> int | None:
        """Return how many replicas must confirm what was written to `node`, if that is known."""
        if self._options.replicas is not None:
            return self._options.replicas
        until, number = self._known.get(_label(node), (0.0, 0))
        return number if time.monotonic() < until else None

    def _node_of(self, client: Any, name: bytes) -> Any:
        return client.get_node_from_key(name) if self._options.cluster else None


def _node_named_by(client: Any, error: Any) -> Any:
    """Return the node that `error` names as the one that has the key; None if it names none."""
    if not hasattr(error, "host"):
        return None
    return client.get_node(host=error.host, port=error.port)


def _send(client: Any, node: Any, commands: Sequence[Command]) -> Steps[list[Any]]:
    """Send `commands` over one connection. Return their results or errors."""
    results: list[Any] = yield (
        partial(_send_now, client, node, commands),
        partial(_send_later, client, node, commands),
    )
    return results


def _send_now(client: Any, node: Any, commands: Sequence[Command]) -> Any:
    server = client if node is None else client.get_redis_connection(node)
    return pipeline_of(server, commands).execute(raise_on_error=False)


async def _send_later(client: Any, node: Any, commands: Sequence[Command]) -> Any:
    if node is not None:
        return await redis_cluster.send_to(node, commands)
    return await pipeline_of(client, commands).execute(raise_on_error=False)


def pipeline_of(client: Any, commands: Sequence[Command]) -> Any:
    """Return a pipeline of `client` with `commands`."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline


def _label(node: Any) -> str:
    return "" if node is None else str(node.name)
