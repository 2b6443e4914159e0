"""Several databases of which each thread uses its own, and work that threads do at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Barrier
from typing import Any, TypeVar

import django
from django.conf import settings

__all__ = ["at_once", "on_node", "set_up"]

_T = TypeVar("_T")

_node: ContextVar[str] = ContextVar("node", default="default")


class NodeRouter:
    """Names the database of the present thread."""

    def db_for_read(self, model: type, **hints: Any) -> str:
        return _node.get()

    db_for_write = db_for_read


@contextmanager
def on_node(alias: str) -> Iterator[None]:
    """Use this database for everything in the block."""
    token = _node.set(alias)
    try:
        yield
    finally:
        _node.reset(token)


def set_up(databases: Mapping[str, dict[str, Any]]) -> None:
    """Set up Django, and create the tables in the database ``default``."""
    settings.configure(
        SECRET_KEY="only for this benchmark, and long enough for it",
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "bff_sessions"],
        DATABASES=dict(databases),
        DATABASE_ROUTERS=[NodeRouter()],
        SESSION_ENGINE="bff_sessions.engine",
        LOGGING_CONFIG=None,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def at_once(work: Callable[[str], _T], aliases: Sequence[str]) -> list[_T]:
    """Call `work(alias)` for each alias in a thread that uses it. All begin at the same moment."""
    from django.db import connections

    barrier = Barrier(len(aliases))

    def run(alias: str) -> _T:
        try:
            with on_node(alias):
                connections[alias].ensure_connection()
                barrier.wait(60)
                return work(alias)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(aliases)) as pool:
        return list(pool.map(run, aliases))
