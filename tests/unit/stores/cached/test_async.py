"""Asynchronous requests on whichever of Django's caches: none is called in the event loop."""

import asyncio
from contextlib import contextmanager, nullcontext, suppress
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.db import connections

from bff_sessions.engine import SessionStore
from bff_sessions.revocation import arevoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.cached import backend
from tests.support.caches import ALICES, DATABASE_CACHE, database_cache


@pytest.fixture(params=["database", "file", "locmem"])
def any_cache(request, transactional_db, settings, tmp_path):
    backends = "django.core.cache.backends"
    settings.CACHES = {
        "database": DATABASE_CACHE,
        "file": {
            "default": {
                "BACKEND": f"{backends}.filebased.FileBasedCache",
                "LOCATION": str(tmp_path),
            }
        },
        "locmem": {"default": {"BACKEND": f"{backends}.locmem.LocMemCache"}},
    }[request.param]
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"}
    table = database_cache() if request.param == "database" else nullcontext()
    with table, mock.patch.object(backend, "caches", OutsideLoops()):
        yield
        caches["default"].clear()


class OutsideLoops:
    """django.core.cache.caches for those who are not in an event loop."""

    def __getitem__(self, alias):
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise AssertionError("A synchronous call of the cache in the event loop.")
        return caches[alias]


@contextmanager
def store_left_alone():
    """While the store behind the cache may not be read."""
    with mock.patch.object(get_store()._inner, "get_user_session", side_effect=LookupError):
        yield


def run(requests):
    async def run_and_close():
        try:
            await requests()
        finally:
            # The thread of synchronous code, which ends with the loop, has its own connection.
            await sync_to_async(connections.close_all)()

    asyncio.run(run_and_close())


def test_asynchronous_requests(any_cache):
    # With Django's own cached_db and a cache in the database: SynchronousOnlyOperation.
    async def requests():
        session = SessionStore()
        await session.aset("cart", [1])
        await session.asave()
        assert await SessionStore(session.session_key).aget("cart") == [1]
        with store_left_alone():
            again = SessionStore(session.session_key)
            assert await again.aget("cart") == [1]
        await again.aset("cart", [2])
        await again.asave()
        assert await SessionStore(session.session_key).aget("cart") == [2]
        with store_left_alone():
            assert await SessionStore(session.session_key).aget("cart") == [2]
        await again.acycle_key()
        assert await SessionStore(session.session_key).aget("cart") is None
        assert await SessionStore(again.session_key).aget("cart") == [2]
        await again.aflush()
        assert await SessionStore(again.session_key).aget("cart") is None
        await SessionStore.aclear_expired()

    run(requests)


def test_asynchronous_revocations(any_cache):
    async def requests():
        session = SessionStore()
        await session.aset("oidc", {"iss": "https://idp.example", "sub": "alice", "sid": "s1"})
        await session.asave()
        for _ in range(2):
            assert await SessionStore(session.session_key).ahas_key("oidc")
        assert await arevoke_sessions(ALICES) == 1
        assert not await SessionStore(session.session_key).ahas_key("oidc")

    run(requests)


def test_tasks_refresh_once(any_cache):
    async def requests():
        session = SessionStore()
        await session.aset("token", 1)
        await session.asave()
        used = []

        async def request():
            mine = SessionStore(session.session_key)
            await mine.aget("token")
            async with mine.exclusive():
                if await mine.aget("token") == 1:
                    used.append(1)
                    await asyncio.sleep(0.01)
                    await mine.aset("token", 2)

        await asyncio.gather(*(request() for _ in range(4)))
        assert used == [1]
        assert await SessionStore(session.session_key).aget("token") == 2

    run(requests)
