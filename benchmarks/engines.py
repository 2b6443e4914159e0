"""The session engines that are compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

__all__ = ["BASE", "CACHE", "CACHED", "ENGINES", "OURS", "REDIS", "Engine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """A session engine, and how a project sets it up."""

    module: str
    """SESSION_ENGINE: the module of its `SessionStore`."""
    app: str
    middleware: str = "django.contrib.sessions.middleware.SessionMiddleware"
    keeps_browser: bool = False
    """True if it also stores user agent and IP address of the browser."""
    has_async: bool = False
    """True if it implements its asynchronous methods and they store the same data."""
    store: str = "bff_sessions.stores.orm.OrmUserSessionStore"
    """The store of our engine."""
    is_in_redis: bool = False
    """True if it stores sessions in Redis alone."""
    is_raw: bool = False
    """True for what our engine sends, sent with the driver or the client of Redis directly."""

    @property
    def is_available(self) -> bool:
        has_server = not self.is_in_redis or bool(os.environ.get("TEST_REDIS_URL"))
        return has_server and find_spec(self.app) is not None


BASE = "contrib db"
OURS = "bff_sessions"
CACHED = "bff_sessions cached"
REDIS = "bff_sessions redis"
CACHE = "contrib cache"
_REDIS_STORE = "bff_sessions.stores.redis.RedisUserSessionStore"
ENGINES = {
    OURS: Engine(module="bff_sessions.engine", app="bff_sessions", has_async=True),
    CACHED: Engine(
        module="bff_sessions.engine",
        app="bff_sessions",
        has_async=True,
        store="bff_sessions.stores.cached.CachedUserSessionStore",
    ),
    REDIS: Engine(
        module="bff_sessions.engine",
        app="bff_sessions",
        has_async=True,
        store=_REDIS_STORE,
        is_in_redis=True,
    ),
    BASE: Engine(
        module="django.contrib.sessions.backends.db",
        app="django.contrib.sessions",
        has_async=True,
    ),
    "contrib cached_db": Engine(
        module="django.contrib.sessions.backends.cached_db",
        app="django.contrib.sessions",
        has_async=True,
    ),
    CACHE: Engine(
        module="django.contrib.sessions.backends.cache",
        app="django.contrib.sessions",
        has_async=True,
        is_in_redis=True,
    ),
    "qsessions": Engine(
        module="qsessions.backends.db",
        app="qsessions",
        middleware="qsessions.middleware.SessionMiddleware",
        keeps_browser=True,
    ),
    "user-sessions": Engine(
        module="user_sessions.backends.db",
        app="user_sessions",
        middleware="user_sessions.middleware.SessionMiddleware",
        keeps_browser=True,
    ),
    "raw driver": Engine(module="bff_sessions.engine", app="bff_sessions", is_raw=True),
    "raw redis-py": Engine(
        module="bff_sessions.engine",
        app="bff_sessions",
        store=_REDIS_STORE,
        is_in_redis=True,
        is_raw=True,
    ),
}
