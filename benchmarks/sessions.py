"""The sessions of one engine that the operations use."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from itertools import count, cycle

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.test import RequestFactory

from benchmarks.contents import BROWSER
from benchmarks.engines import Engine
from benchmarks.rows import add_sessions, add_users

__all__ = ["Sessions"]


class Sessions:
    """The stored sessions, each for one use at a time, and a factory for new ones."""

    def __init__(self, engine: Engine, rows: int) -> None:
        store = import_module(engine.module).SessionStore
        self._open: partial[SessionBase] = partial(store, **BROWSER if engine.keeps_browser else {})
        users = add_users()
        self._keys = deque(add_sessions(engine, users, rows))
        self.users = cycle(users)
        self.marks = count(1)

    def open(self, key: str | None = None) -> SessionBase:
        """Return a session as a request has it before the first access."""
        return self._open(key)

    def known(self) -> SessionBase:
        """Return a session that has been loaded."""
        session = self.open(self.take())
        assert session["access_token"]
        return session

    def take(self) -> str:
        """Return the session key of a session, and reserve it until give_back()."""
        return self._keys.popleft()

    def take_warm(self) -> str:
        """Return the session key of a session that was loaded shortly before; see take()."""
        key = self.take()
        assert self.open(key).load()
        return key

    def give_back(self, key: str | None) -> None:
        assert key is not None
        self._keys.append(key)

    def exists(self, key: str | None) -> bool:
        return key is not None and bool(self.open().exists(key))

    def request(self, path: str, key: str | None) -> HttpRequest:
        request = RequestFactory().get(path, headers={"user-agent": BROWSER["user_agent"]})
        if key is not None:
            request.COOKIES[settings.SESSION_COOKIE_NAME] = key
        return request


def fill(session: SessionBase, data: Mapping[str, str]) -> None:
    # One by one, because user-sessions finds the user in __setitem__().
    for name, value in data.items():
        session[name] = value
