"""The sessions of one engine, as the operations use them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from itertools import count, cycle

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.http import HttpRequest
from django.test import RequestFactory

from benchmarks.engines import Engine
from benchmarks.rows import BROWSER, add_sessions, add_users

__all__ = ["Sessions"]


class Sessions:
    """Those that are there, each for one use at a time, and what makes new ones."""

    def __init__(self, engine: Engine, rows: int) -> None:
        store = import_module(engine.module).SessionStore
        self._open: partial[SessionBase] = partial(store, **BROWSER if engine.keeps_browser else {})
        self._cache_prefix: str | None = getattr(store, "cache_key_prefix", None)
        users = add_users()
        self._keys = deque(add_sessions(engine, users, rows))
        self.users = cycle(users)
        self.marks = count(1)

    def open(self, key: str | None = None) -> SessionBase:
        """The session as a request has it before it has touched it."""
        return self._open(key)

    def known(self) -> SessionBase:
        """One that has been read."""
        session = self.open(self.take())
        assert session["access_token"]
        return session

    def take(self) -> str:
        """The key of a session that nobody else uses until it is given back."""
        return self._keys.popleft()

    def take_warm(self) -> str:
        """The same of one that was read a moment ago, as by the request before."""
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

    def forget(self) -> None:
        """Take out of the cache what the database will not remember either."""
        if self._cache_prefix is not None:
            cache.delete_many([self._cache_prefix + key for key in self._keys])


def fill(session: SessionBase, data: Mapping[str, str]) -> None:
    # One by one: user-sessions learns of the user in no other way.
    for name, value in data.items():
        session[name] = value
