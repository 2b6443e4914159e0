"""The session engines that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

__all__ = ["BASE", "CACHED", "ENGINES", "OURS", "Engine"]


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
    is_cached: bool = False
    """True for our engine with a cache in front of its store."""
    is_raw: bool = False
    """True for the statements of our engine, sent to the database driver directly."""

    @property
    def is_installed(self) -> bool:
        return find_spec(self.app) is not None


BASE = "contrib db"
OURS = "bff_sessions"
CACHED = "bff_sessions cached"
ENGINES = {
    OURS: Engine(module="bff_sessions.engine", app="bff_sessions", has_async=True),
    CACHED: Engine(
        module="bff_sessions.engine", app="bff_sessions", has_async=True, is_cached=True
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
}
