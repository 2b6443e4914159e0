"""Sends commands to Redis in steps, for synchronous and asynchronous callers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from bff_sessions._compat import redis_cluster
from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.sansio import Steps, arun, run
from bff_sessions.stores.redis import scripts
from bff_sessions.stores.redis.clients import Clients
from bff_sessions.stores.redis.commands import Command, key_of, script_of
from bff_sessions.stores.redis.errors import translated
from bff_sessions.stores.redis.names import Names
from bff_sessions.stores.redis.options import RedisOptions
from bff_sessions.stores.redis.replicas import Replicas, pipeline_of

logger = logging.getLogger("bff_sessions.store")

_T = TypeVar("_T")

OTHER: Final = ()
"""What a value of another type has: no fields, and no members."""
_REMEDY: Final = (
    "Find out what writes to the Redis of the sessions. Run manage.py sessions reindex."
)
# The most commands in one round trip.
_MAX_COMMANDS: Final = 500


class Link:
    """The way to Redis.

    Args:
        options: BFF_SESSIONS["REDIS"].
        grace: seconds for which an expired session is kept for clean-up.
    """

    def __init__(self, options: RedisOptions, grace: float) -> None:
        self.options = options
        self.grace = grace
        self.grace_millis = int(grace * 1000)
        self.names = Names(options.key_prefix)
        self._clients = Clients(options)
        self.is_cluster = options.cluster
        self._replicas = Replicas(options)

    def send(self, commands: Sequence[Command]) -> Steps[list[Any]]:
        """Send `commands` in as few round trips as possible, and return their results.

        If a value of another type has the name that a command reads, its result is `OTHER`.

        Raises:
            StoreUnavailable: if the server cannot be reached, or refuses a command. Some of the
                others may have been executed.
        """
        results: list[Any] = []
        for start in range(0, len(commands), _MAX_COMMANDS):
            some = commands[start : start + _MAX_COMMANDS]
            results += yield partial(self._send, some), partial(self._asend, some)
        return results

    def ask(self, *command: Any) -> Steps[Any]:
        """Send one command, and return its result; see send()."""
        result = yield partial(self._ask, command), partial(self._aask, command)
        return result

    def run_script(self, script: str, name: bytes, *arguments: Any) -> Steps[Any]:
        """Run `script` with the key `name`, and return its result."""
        return self.ask(*script_of(script, name, *arguments))

    def send_in_order(self, first: Sequence[Command], then: Command) -> Steps[Any]:
        """Send `first`, and afterwards `then`. Return the result of `then`.

        Not in one round trip: one of `first` may fail, for example because the memory is full.
        Replicas must have `first` before `then`, because a failover may come between them.

        Raises:
            StoreUnavailable: as send(), or if too few replicas have confirmed `first`.
        """
        if scripts.REPLACED in (yield from self.send(first)):
            logger.error("Something else had a name of the store in Redis (index). %s", _REMEDY)
        if not (yield from self.confirm(first)):
            raise StoreUnavailable("Too few replicas have confirmed the hints of a session.")
        return (yield from self.ask(*then))

    def confirm(self, writes: Collection[Command]) -> Steps[bool]:
        """Make `writes` again, and wait for replicas. Return whether they have them.

        Each one must do no harm if it is made again, and return 0 if its first effect is missing.
        """
        if not writes or self.options.replicas == 0:
            return True
        try:
            confirmed: bool = yield partial(self._confirm, writes), partial(self._aconfirm, writes)
        except StoreUnavailable:
            return False
        return confirmed

    def scan(self) -> Iterator[bytes]:
        """Yield the names of all sessions on all nodes. A name may come twice."""
        with self._client() as client:
            yield from client.scan_iter(match=self.names.pattern(), count=_MAX_COMMANDS)

    def ask_primaries(self, ask: Callable[[Any], _T]) -> dict[str, _T]:
        """Call `ask` with a client of each server that takes writes.

        Return the results by the addresses of the servers. Without a Cluster, the address is empty.
        """
        with self._client() as client:
            if not self.is_cluster:
                return {"": ask(client)}
            nodes = client.get_primaries()
            return {node.name: ask(client.get_redis_connection(node)) for node in nodes}

    @contextmanager
    def subscription(self, channel: bytes) -> Iterator[Any]:
        """Give a PubSub of redis-py that is subscribed to `channel`."""
        with self._client() as client, client.pubsub(ignore_subscribe_messages=True) as messages:
            messages.subscribe(channel)
            yield messages

    def _ask(self, command: Command) -> Any:
        with self._client() as client:
            try:
                return client.execute_command(*command)
            except Exception as error:
                return self._result_of(command, error)

    async def _aask(self, command: Command) -> Any:
        if self.is_cluster:
            [result] = await self._asend([command])
            return result
        async with self._aclient() as client:
            # A pipeline of one command takes a tenth longer.
            try:
                return await client.execute_command(*command)
            except Exception as error:
                return self._result_of(command, error)

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        with self._client() as client:
            results = pipeline_of(client, commands).execute(raise_on_error=False)
            return list(map(self._result_of, commands, results))

    async def _asend(self, commands: Sequence[Command]) -> list[Any]:
        async with self._aclient() as client:
            if self.is_cluster:
                results = await redis_cluster.execute(client, commands)
            else:
                results = await pipeline_of(client, commands).execute(raise_on_error=False)
            return list(map(self._result_of, commands, results))

    def _result_of(self, command: Command, result: Any) -> Any:
        """Return the `result` of `command`, or raise it if it is an error."""
        if not isinstance(result, Exception):
            return result
        if command[0] == "EVAL" or not str(result).startswith("WRONGTYPE"):
            raise result
        kind = self.names.kind(key_of(command))
        logger.error("Something else has a name of the store in Redis (%s). %s", kind, _REMEDY)
        return OTHER

    def _confirm(self, writes: Collection[Command]) -> bool:
        with self._client() as client:
            return run(self._replicas.confirm(client, writes))

    async def _aconfirm(self, writes: Collection[Command]) -> bool:
        async with self._aclient() as client:
            if self.is_cluster:
                await client.initialize()
            return await arun(self._replicas.confirm(client, writes))

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Give the client, and raise `StoreUnavailable` for its errors."""
        client = None
        try:
            client = self._clients.get()
            yield client
        except Exception as error:
            if self.is_cluster:
                self._clients.forget(client)
            raise translated(error) from None

    @asynccontextmanager
    async def _aclient(self) -> AsyncIterator[Any]:
        """See _client()."""
        shared = None
        try:
            shared = await self._clients.aget()
            yield shared.client
        except Exception as error:
            if self.is_cluster:
                self._clients.aforget(shared)
            raise translated(error) from None
        finally:
            if shared is not None:
                await self._clients.aleave(shared)
