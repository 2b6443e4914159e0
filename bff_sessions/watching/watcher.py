"""The thread that watches all open pages of a process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Final

from bff_sessions import conf
from bff_sessions._compat import gunicorn, uvicorn
from bff_sessions.events import subscribe_to_commits
from bff_sessions.stores.databases.connections import close_connections
from bff_sessions.watching.listening import Listener, find_notices, send_notice
from bff_sessions.watching.looking import look
from bff_sessions.watching.pages import News, NewsKind, Page

logger = logging.getLogger("bff_sessions.watching")

# Seconds between two looks if revocations in this process follow each other.
_SHORTEST: Final = 0.05
# Seconds after which the thread looks whether the server stops.
_LONGEST: Final = 1.0


def is_stopping() -> bool:
    """Return whether the server of this process has been asked to stop."""
    return uvicorn.is_stopping() or gunicorn.is_stopping()


class Watcher:
    """Watches pages in a thread, which begins with the first page and ends after the last.

    Each look is followed by a pause of BFF_SESSIONS["EVENTS_EVERY"], in which the thread holds
    neither a connection nor a transaction.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked process, threads, pages and locks of its parent are gone."""
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._pages: set[Page] = set()
        self._thread: threading.Thread | None = None
        self._has_failed = False
        self._listener = Listener(self.look_soon, lambda: bool(self.pages()))

    def add(self, page: Page) -> None:
        """Watch `page`."""
        with self._lock:
            self._pages.add(page)
            if self._thread is None or not self._thread.is_alive():
                # An empty context: that of the request names the thread of the request.
                thread = threading.Thread(
                    target=Context().run, args=(self._run,), name="bff_sessions", daemon=True
                )
                thread.start()
                self._thread = thread

    def remove(self, page: Page) -> None:
        """Stop watching `page`, if it is still watched.

        A stream that nobody has closed does so in a garbage collection. That may interrupt this
        thread while it holds the lock, so there is none: one operation on a set needs none.
        """
        self._pages.discard(page)

    def pages(self) -> list[Page]:
        """Return the pages that are watched."""
        return list(self._pages)

    def look_soon(self) -> None:
        """Look now, and not only after the pause."""
        self._changed.set()

    def join(self) -> None:
        """Wait until the thread has ended, after the last page."""
        if (thread := self.thread) is not None:
            self._changed.set()
            thread.join()
        self._listener.join()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread; None while no page is watched."""
        return self._thread

    @property
    def looks_soon(self) -> bool:
        """True if look_soon() has been called, and the look has not begun."""
        return self._changed.is_set()

    def _run(self) -> None:
        self._keep_listening()
        while self._pause():
            self._keep_listening()
            begun = time.monotonic()
            self._look()
            # Revocations one after the other must not keep the thread busy.
            time.sleep(max(0.0, begun + _SHORTEST - time.monotonic()))

    def _pause(self) -> bool:
        """Wait until the next look. Return whether there is a page to look at."""
        end = time.monotonic() + conf.EVENTS_EVERY
        while (rest := end - time.monotonic()) > 0:
            if not self._has_pages():
                # Do not ask again: a page that has come meanwhile has started another thread.
                return False
            # First, because ends of sessions may follow each other without a pause.
            if is_stopping():
                self._tell_all(News(NewsKind.SERVER_STOPS))
            elif self._changed.wait(min(rest, _LONGEST)):
                break
        self._changed.clear()
        return self._has_pages()

    def _has_pages(self) -> bool:
        with self._lock:
            if not self._pages:
                self._thread = None  # The next page starts another one.
            return bool(self._pages)

    def _keep_listening(self) -> None:
        # Without notices, pages are still looked at. If the store is at fault, the look logs it.
        with suppress(Exception):
            self._listener.keep()

    def _look(self) -> None:
        try:
            try:
                for page, news in look(self.pages()):
                    self._tell(page, news)
                    if is_stopping():
                        break  # Do not search for all sessions if all have ended.
            finally:
                close_connections()
        except Exception as error:
            # The pages stay open. Only the class of the error: its text may quote keys.
            if not self._has_failed:
                logger.error("Open pages are not watched at present: %s", type(error).__name__)
            self._has_failed = True
        else:
            if self._has_failed:
                logger.warning("Open pages are watched again.")
            self._has_failed = False

    def _tell(self, page: Page, news: News) -> None:
        try:
            self._pages.remove(page)
        except KeyError:
            return  # It has left.
        # An event loop that has been closed has no open page.
        with suppress(RuntimeError):
            page.tell(news)

    def _tell_all(self, news: News) -> None:
        for page in self.pages():
            self._tell(page, news)


watcher: Final = Watcher()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watcher.forget)


def connect() -> None:
    """Look at once after the end of a session in this process."""
    subscribe_to_commits(_find)


def _find() -> Callable[[], None] | None:
    notices = find_notices()
    if notices is None:
        return watcher.look_soon if watcher.thread is not None else None

    def notify() -> None:
        watcher.look_soon()
        send_notice(notices)

    return notify
