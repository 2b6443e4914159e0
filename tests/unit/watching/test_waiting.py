"""What views and WebSockets call to wait for news."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.revocation import arevoke_sessions, revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from bff_sessions.watching import News, NewsKind, await_end, awatching, can_watch, waiting, watching

PATIENCE = 30  # Seconds.
ENDED = News(NewsKind.SESSION_ENDED)


@pytest.fixture
def session(watcher, look_every):
    look_every(60)
    session = make_session()
    get_store().create_user_session(session)
    return session


def test_thread_waits_for_news(session, watcher):
    with watching(session) as wait:
        assert wait(0.01) is None
        revoke_sessions(UserSessionsFilter.of_session(session))
        assert wait(PATIENCE) == ENDED
    assert watcher.pages() == []


def test_page_that_leaves_is_not_watched(session, watcher):
    with watching(session):
        assert len(watcher.pages()) == 1
    assert watcher.pages() == []


def test_task_waits_for_news(session, watcher):
    async def wait_for_news():
        with awatching(session) as wait:
            assert await wait(0.01) is None
            await arevoke_sessions(UserSessionsFilter.of_session(session))
            return await wait(PATIENCE)

    assert async_to_sync(wait_for_news)() == ENDED
    assert watcher.pages() == []


def test_connection_ends_with_its_session(session, watcher):
    async def serve():
        async with asyncio.timeout(PATIENCE):
            ended = asyncio.create_task(await_end(session))
            await asyncio.sleep(0)
            await arevoke_sessions(UserSessionsFilter.of_session(session))
            return await ended

    assert async_to_sync(serve)() == ENDED


def test_cancelled_task_is_not_watched(session, watcher):
    async def serve():
        ended = asyncio.create_task(await_end(session))
        await asyncio.sleep(0)
        assert len(watcher.pages()) == 1
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended

    async_to_sync(serve)()
    assert watcher.pages() == []


def test_news_for_a_loop_that_has_ended_is_lost(session, watcher):
    async def leave():
        waiting = awatching(session)
        waiting.__enter__()
        return waiting

    left = asyncio.run(leave())
    revoke_sessions(UserSessionsFilter.of_session(session))
    watcher.join()
    assert watcher.pages() == []
    left.__exit__(None, None, None)


@pytest.fixture
def scope(monkeypatch):
    """Chooses the scope of this thread; others have the scope "home"."""
    here = threading.get_ident()
    chosen = {}

    def find(store):
        return chosen.get(threading.get_ident(), "home")

    monkeypatch.setattr(OrmUserSessionStore, "scope", property(find))
    monkeypatch.setattr(waiting, "_home", None)
    return lambda name: chosen.update({here: name})


def test_store_of_another_tenant_cannot_be_watched(scope):
    assert can_watch()
    scope("tenant")
    assert not can_watch()
    scope("")  # Of a store that does not switch between places.
    assert can_watch()


def test_thread_is_asked_once_for_its_scope(scope, monkeypatch, settings):
    asked = []

    class Executor(ThreadPoolExecutor):
        def __init__(self, *args):
            asked.append(get_store())
            super().__init__(*args)

    monkeypatch.setattr(waiting, "ThreadPoolExecutor", Executor)
    for name in ("tenant", "home", "tenant"):
        scope(name)
        assert can_watch() is (name == "home")
    assert asked == [get_store()]
    settings.BFF_SESSIONS = {"PARTITION": "other"}  # Makes another store.
    assert not can_watch()
    assert asked[1:] == [get_store()]
