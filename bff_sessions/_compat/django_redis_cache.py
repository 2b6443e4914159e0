"""Django's own Redis cache, with commands that are sent before their answers are read.

Django's cache waits for each answer, and creates a client of redis-py for each call, which takes
longer than the answer. This module uses the connections below that client, with their public
methods. `python -m benchmarks` shows the gain: with PostgreSQL, a save takes 0.54 of the time.

It uses private API of django.core.cache.backends.redis, read in Django 5.2, 6.0 and 6.1. The
connections were read and tried in redis-py 6.4, 7.1 and 8.1.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

Command: TypeAlias = tuple[Any, ...]

# Each thread uses one or two. redis-py 8 raises an error at 100 unless told otherwise.
_MAX_CONNECTIONS: Final = 10_000


class ConnectionLost(Exception):
    """The server has closed the connection. It may accept a new one."""


class Link:
    """The way to the server of one cache, for all threads. Errors are those of redis-py.

    Django has a pool for each thread, and one for each request to an ASGI server.
    """

    def __init__(self, cache: Any) -> None:
        client = cache._cache
        self._name = cache.make_key
        self._dumps = client._serializer.dumps
        self._loads = client._serializer.loads
        # A limit of the project is that of one thread.
        options = {**client._pool_options, "max_connections": _MAX_CONNECTIONS}
        self._pool = client._pool_class.from_url(client._servers[0], **options)
        weakref.finalize(self, self._pool.disconnect)
        # Each with the process that opened it, and the number of its answers that are not yet read.
        # list.append() and list.pop() are atomic.
        self._idle: list[tuple[int, Any, int]] = []

    def get_many(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Return what BaseCache.get_many() returns."""
        [values] = self.send(("MGET", *map(self._name, names))).read()
        return {
            name: self._loads(value)
            for name, value in zip(names, values, strict=True)
            if value is not None
        }

    def setting(self, values: Mapping[str, Any], lifetime: int) -> list[Command]:
        """Return the commands of BaseCache.set_many()."""
        return [
            ("SET", self._name(name), self._dumps(value), "EX", lifetime)
            for name, value in values.items()
        ]

    def deleting(self, names: Sequence[str]) -> list[Command]:
        """Return the commands of BaseCache.delete_many()."""
        return [("DEL", *map(self._name, names))] if names else []

    def send(self, *commands: Command) -> Sent:
        """Send `commands`, and do not wait for their answers."""
        connection = self._take()
        try:
            connection.send_packed_command([_pack(commands)])
        except BaseException:
            self._drop(connection)
            raise
        return Sent(self, connection, len(commands))

    def post(self, *commands: Command) -> None:
        """Send `commands`, and ignore their answers."""
        sent = self.send(*commands)
        self._keep(sent.connection, len(commands))

    def _take(self) -> Any:
        while True:
            try:
                opener, connection, unread = self._idle.pop()
            except IndexError:  # Without a look first: another thread may take the last one.
                return self._pool.get_connection()
            if opener != os.getpid():
                continue  # It belongs to the process that forked this one.
            if self._is_ready(connection, unread):
                return connection
            self._drop(connection)  # The server has closed it.

    def _is_ready(self, connection: Any, unread: int) -> bool:
        from redis.exceptions import ConnectionError, ResponseError

        try:
            for _ in range(unread):
                with suppress(ResponseError):
                    connection.read_response()
            return not connection.can_read(0)
        except ConnectionError:
            return False
        except BaseException:
            self._drop(connection)
            raise

    def _keep(self, connection: Any, unread: int = 0) -> None:
        self._idle.append((os.getpid(), connection, unread))

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)


class Sent:
    """Commands that were sent, and whose answers are to be read once."""

    def __init__(self, link: Link, connection: Any, number: int) -> None:
        self.link = link
        self.connection = connection
        self._number = number
        self._opener = os.getpid()

    def read(self, *more: Command) -> list[Any]:
        """Send `more` commands after the first ones. Return all answers.

        Raises:
            ConnectionLost: if the server has closed the connection, or if it belongs to the process
                that forked this one.
            RedisError: if an answer is an error or does not arrive. The commands may have been
                executed, or may still be.
        """
        from redis.exceptions import ConnectionError, ResponseError

        if self._opener != os.getpid():
            raise ConnectionLost
        connection, number = self.connection, self._number + len(more)
        answers, error = [], None
        try:
            if more:
                # Without a check by PING, whose answer would come after the others.
                connection.send_packed_command([_pack(more)], check_health=False)
            for _ in range(number):
                try:
                    answers.append(connection.read_response())
                except ResponseError as refused:
                    answers.append(refused)
                    error = refused
        except ConnectionError:
            self.link._drop(connection)
            raise ConnectionLost from None
        except BaseException:
            self.link._drop(connection)
            raise
        self.link._keep(connection)
        if error is not None:
            raise error
        return answers


def _pack(commands: Sequence[Command]) -> bytes:
    """Return `commands` as Redis reads them. redis-py takes ten times as many calls for it."""
    packed = []
    for words in commands:
        packed.append(b"*%d\r\n" % len(words))
        for word in words:
            is_binary = isinstance(word, (bytes, bytearray, memoryview))
            encoded = bytes(word) if is_binary else str(word).encode()
            packed.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(packed)


def link_of(cache: Any) -> Link | None:
    """Return the link of Django's own Redis cache with one server, and None of any other cache."""
    # A subclass may read in another way. With several servers, each call uses another one.
    classes = type(cache), type(getattr(cache, "_cache", None))
    if classes != (RedisCache, RedisCacheClient) or len(cache._servers) != 1:
        return None
    from redis import __version__

    # Django also takes older ones, whose connections differ.
    return Link(cache) if int(__version__.partition(".")[0]) >= 6 else None
