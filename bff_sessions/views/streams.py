"""The streams of ``GET events``: without an end under ASGI, a long poll under WSGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Final, TypeAlias

from asgiref.sync import sync_to_async

from bff_sessions._compat.asgiref import release_thread
from bff_sessions.contract import UserSession
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.connections import close_connections
from bff_sessions.views.places import Place
from bff_sessions.watching import News, awatching, watching
from bff_sessions.watching.watcher import is_stopping

Show: TypeAlias = Callable[[News], str]

# Seconds. Proxies end a connection on which nothing comes; nginx after 60 seconds by default.
_HEARTBEAT: Final = 15
# Seconds. Shorter than the 30 seconds after which gunicorn, and many proxies, give a request up.
_LONG_POLL: Final = 25
# A comment, which browsers ignore.
_NOTHING: Final = ":\n\n"


class Stream:
    """Yields `head`, comments from time to time, and what `show` makes of the news.

    It leaves its place when it ends, or when the server closes the response.
    """

    def __init__(self, session: UserSession, head: str, show: Show, place: Place) -> None:
        self._session, self._head, self._show, self._place = session, head, show, place
        self._scope = get_store().scope  # Of the request. The event loop has another thread.
        self._watched = ExitStack()

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            wait = self._watched.enter_context(awatching(self._session, scope=self._scope))
            yield self._head
            # The request is answered but for the news: it needs no connection, and no thread.
            await sync_to_async(close_connections)()
            release_thread()
            while (news := await wait(_HEARTBEAT)) is None:
                if is_stopping():
                    return  # The watching thread would say so, unless its database hangs.
                yield _NOTHING
            yield self._show(news)
        finally:
            self.close()

    def close(self) -> None:
        """Stop watching. Django calls this in any case, and does not close the iterator."""
        self._watched.close()
        self._place.leave()


class LongPoll:
    """Yields `head`, and within a bounded time what `show` makes of the news, or a comment.

    It leaves its places when the server closes the response.
    """

    def __init__(self, session: UserSession, head: str, show: Show, *places: Place) -> None:
        # Of the request: a middleware may leave it before the response is read.
        scope = get_store().scope
        self._parts = self._wait(session, scope, head, show)
        self._places = places

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def close(self) -> None:
        """Leave the places. Django calls this also if no part has been read."""
        self._parts.close()
        for place in self._places:
            place.leave()

    @staticmethod
    def _wait(
        session: UserSession, scope: str, head: str, show: Show
    ) -> Generator[str, None, None]:
        with watching(session, scope=scope) as wait:
            yield head
            close_connections()
            news = wait(_LONG_POLL)
            yield _NOTHING if news is None else show(news)
