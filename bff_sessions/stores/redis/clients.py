"""Clients of Redis: one for synchronous code, and one for each event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.conf.rules import import_callable
from bff_sessions.extras import extra
from bff_sessions.stores.redis.options import RedisOptions

# Seconds for which a client that has failed is kept before a new one takes its place.
_KEPT: Final = 1.0


class Clients:
    """The clients for BFF_SESSIONS["REDIS"]. Threads share the synchronous one."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._client: Any = None
        self._kept_until = 0.0
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _ClientsOfLoop]
        self._of_loops = WeakKeyDictionary()

    def get(self) -> Any:
        """Return the client for synchronous code."""
        client = self._client
        if client is None:
            # Not under the lock: a client of a Cluster connects at once, until the timeout.
            made = _make(self._options, asynchronous=False)
            with self._lock:
                if self._client is None:
                    self._client = made
                client = self._client
            if client is not made:
                made.close()
        return client

    async def aget(self) -> SharedClient:
        """Return the client of the running event loop. Call aleave() afterwards."""
        loop = asyncio.get_running_loop()
        known = self._of_loops.get(loop)
        if known is None:
            known = self._of_loops[loop] = _ClientsOfLoop()
            await known.close_with_loop(self._of_loops)
        if known.shared is None:
            known.shared = SharedClient(_make(self._options, asynchronous=True))
        known.shared.users += 1
        return known.shared

    async def aleave(self, shared: SharedClient) -> None:
        """Say that a call needs the client no more. The last one closes a client that failed."""
        shared.users -= 1
        if shared.is_retired and not shared.users:
            known = self._of_loops.get(asyncio.get_running_loop())
            if known is not None:
                known.retired.discard(shared)
            await _close(shared.client)

    def forget(self, client: Any) -> None:
        """Make a new client for the next call: one of a Cluster may know only nodes that are gone.

        Calls on their way keep the old one.
        """
        with self._lock:
            if self._client is client and time.monotonic() > self._kept_until:
                self._client = None
                self._kept_until = time.monotonic() + _KEPT

    def aforget(self, shared: SharedClient | None) -> None:
        """See forget()."""
        known = self._of_loops.get(asyncio.get_running_loop())
        if known is None or shared is None or known.shared is not shared:
            return
        if time.monotonic() > known.kept_until:
            shared.is_retired = True
            known.retired.add(shared)
            known.shared = None
            known.kept_until = time.monotonic() + _KEPT


class SharedClient:
    """A client that all tasks of an event loop share."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.users = 0
        self.is_retired = False


class _ClientsOfLoop:
    """The clients of one event loop."""

    def __init__(self) -> None:
        self.shared: SharedClient | None = None
        self.kept_until = 0.0
        self.retired: set[SharedClient] = set()

    async def close_with_loop(self, of_loops: MutableMapping[Any, Any]) -> None:
        """Close the clients when the running event loop ends.

        It then closes its asynchronous generators. Django has a loop for each request if a WSGI
        server runs an asynchronous view.
        """
        self._closing = self._close(of_loops, asyncio.get_running_loop())
        await anext(self._closing)

    async def _close(
        self, of_loops: MutableMapping[Any, Any], loop: Any
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            of_loops.pop(loop, None)
            for shared in (self.shared, *self.retired):
                if shared is not None:
                    await _close(shared.client)


async def _close(client: Any) -> None:
    await client.aclose()
    # A client of Sentinels does not close the connections to these.
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in getattr(manager, "sentinels", ()):
        await sentinel.aclose()


def _make(options: RedisOptions, *, asynchronous: bool) -> Any:
    if options.client is not None:
        place = f"{conf.place_of('REDIS')}['CLIENT']"
        client = import_callable(options.client, place)(asynchronous=asynchronous)
        if client.get_encoder().decode_responses:
            # Otherwise each session would count as unreadable, or its ticket stand in an error.
            raise ImproperlyConfigured(f"{place} must not set decode_responses.")
        return client
    with extra("redis"):
        from bff_sessions.stores.redis.connecting import connect
    return connect(options, asynchronous=asynchronous)
