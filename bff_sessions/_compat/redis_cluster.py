"""The asyncio client of redis-py for a Cluster. Read and tried in redis-py 6.4, 7.1 and 8.1.

While a slot moves, redis-py sends ASKING and the command over two connections, so that every
command on a moving key fails: "TTL exhausted". This module sends both over one. It also sends SET
and WAIT over one connection, which the public pipeline does not promise.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

# Tries to reach a key whose slot is moving, and the seconds between two of them.
_TRIES = 10
_PAUSE = 0.05


async def send_to(node: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send `commands` to one node over one connection. Return their results or errors."""
    # From the client's own module, which may be that of valkey-py.
    command_class = sys.modules[type(node).__module__].PipelineCommand
    sent = [command_class(number, *command) for number, command in enumerate(commands)]
    await node.execute_pipeline(sent)
    return [command.result for command in sent]


async def execute(client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send `commands` to the nodes of their keys at the same time. Return results or errors."""
    results = await _send(client, commands)
    return [
        await _redirect(client, command, result) if isinstance(result, Exception) else result
        for command, result in zip(commands, results, strict=True)
    ]


def has_moved(error: object) -> bool:
    """Return whether `error` says that the slot of the key has moved, and not only the key."""
    return _is(error, "MovedError")


async def _send(client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    pipeline = client.pipeline()
    for command in commands:
        pipeline.execute_command(*command)
    results: list[Any] = await pipeline.execute(raise_on_error=False, allow_redirections=False)
    return results


async def _redirect(client: Any, command: tuple[Any, ...], result: Any) -> Any:
    """Return the result of a `command` that a node has refused, because another one has the key."""
    for _ in range(_TRIES):
        if _is(result, "ClusterDownError", "TryAgainError"):
            await asyncio.sleep(_PAUSE)
        elif has_moved(result):
            # A command of its own learns which node has the slot now; a pipeline does not.
            name = command[3] if command[0] == "EVAL" else command[1]
            await client.execute_command("EXISTS", name)
        elif _is(result, "AskError"):  # The base of MovedError.
            node = client.get_node(host=result.host, port=result.port)
            if node is None:
                break
            _, result = await send_to(node, [("ASKING",), command])
            continue
        else:
            break
        [result] = await _send(client, [command])
    return result


def _is(error: object, *names: str) -> bool:
    return any(each.__name__ in names for each in type(error).__mro__)
