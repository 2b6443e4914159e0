"""Wait for news about a session, in a thread or in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from queue import Empty, SimpleQueue

from bff_sessions.contract import UserSession, UserSessionStore
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.scopes import differs_in_schema
from bff_sessions.watching.pages import News, Page
from bff_sessions.watching.watcher import watcher

_home: tuple[UserSessionStore, str] | None = None


@contextmanager
def watching(
    session: UserSession, *, scope: str | None = None
) -> Iterator[Callable[[float], News | None]]:
    """Watch `session` in the block. Give a function that waits for news.

    The function takes the most seconds to wait, and returns None if there are no news by then.

    Args:
        session: the session of a signed-in user, as ``request.session.get_user_session()``
            returns it.
        scope: ``get_store().scope`` in the thread of synchronous code that has read the session.
            Only a site with a schema for each tenant needs it, and only elsewhere: None means the
            scope of this thread.
    """
    inbox: SimpleQueue[News] = SimpleQueue()

    def wait(seconds: float) -> News | None:
        try:
            return inbox.get(timeout=seconds)
        except Empty:
            return None

    page = Page(session, inbox.put, scope)
    try:
        watcher.add(page)
        yield wait
    finally:
        watcher.remove(page)


@contextmanager
def awatching(
    session: UserSession, *, scope: str | None = None
) -> Iterator[Callable[[float | None], Awaitable[News | None]]]:
    """See watching(). The function is asynchronous; None waits without a limit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[News] = loop.create_future()

    def set_result(news: News) -> None:
        if not future.done():
            future.set_result(news)

    async def wait(seconds: float | None) -> News | None:
        await asyncio.wait([future], timeout=seconds)
        return future.result() if future.done() else None

    page = Page(session, lambda news: _call_soon(loop, set_result, news), scope)
    try:
        watcher.add(page)
        yield wait
    finally:
        watcher.remove(page)


async def await_end(session: UserSession, *, scope: str | None = None) -> News:
    """Wait until `session` ends, changes hands, or the server stops. Return which.

    For WebSockets and other connections that must end with their session. Cancel the task to stop
    waiting.

    Args:
        session: as for watching().
        scope: as for watching(). An event loop has a thread of its own.
    """
    with awatching(session, scope=scope) as wait:
        while (news := await wait(None)) is None:
            continue
    return news


def can_watch() -> bool:
    """Return whether the watching thread sees the store that this thread sees, or can switch to it.

    It cannot if the sessions of a tenant are in another database, which a library has chosen for
    this request.
    """
    store = get_store()
    scope = store.scope
    if not scope:
        return True
    home = _home_of(store)
    return scope == home or differs_in_schema(scope, home)


def _home_of(store: UserSessionStore) -> str:
    """Return the scope that a thread without a request sees.

    What a library has chosen for a request may be in its thread as well as in its context. So only
    another thread can tell, which is asked once for each store.
    """
    global _home
    if _home is None or _home[0] is not store:
        with ThreadPoolExecutor(1) as thread:
            _home = store, thread.submit(Context().run, lambda: store.scope).result()
    return _home[1]


def _call_soon(
    loop: asyncio.AbstractEventLoop, function: Callable[[News], None], news: News
) -> None:
    loop.call_soon_threadsafe(function, news)
