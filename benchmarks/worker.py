"""A process that measures one engine on one database, on command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

__all__ = ["set_up", "work"]


def set_up(engine: str, url: str, purpose: str) -> None:
    """Set up Django in this process. Import modules that need Django afterwards.

    Args:
        purpose: part of the name of the database that the process may create.
    """
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ["BENCH_ENGINE"] = engine
    os.environ["BENCH_DATABASE_URL"] = url
    os.environ["BENCH_PURPOSE"] = purpose
    import django

    django.setup()


def work(pipe: Connection, engine_name: str, url: str, rows: int) -> None:
    """Send the names of the operations, then answer (operation, iterations) with seconds.

    The names are two lists: those that are measured by default, and those that are not.
    """
    set_up(engine_name, url, str(rows))
    from asgiref.sync import sync_to_async
    from django.contrib.auth.signals import user_logged_in
    from django.db import connections

    from benchmarks.databases import temporary_database
    from benchmarks.engines import ENGINES
    from benchmarks.offers import is_async, offers
    from benchmarks.sessions import Sessions

    # It writes to the table of users, which is not part of the measurement.
    user_logged_in.disconnect(dispatch_uid="update_last_login")

    engine = ENGINES[engine_name]
    usual, others = offers(engine)
    operations = usual | others
    with temporary_database():
        sessions = Sessions(engine, rows)
        try:
            pipe.send((list(usual), list(others)))
            while turn := pipe.recv():
                name, iterations = turn
                steps = [operations[name](sessions) for _ in range(iterations)]
                # Prepare all calls, then time all, then check all.
                calls = [next(step) for step in steps]
                done = asyncio.run(_atime(calls)) if is_async(name) else _time(calls)
                for step, (_, result) in zip(steps, done, strict=True):
                    try:
                        step.send(result)
                    except StopIteration:
                        continue
                pipe.send([seconds for seconds, _ in done])
        except (EOFError, OSError, KeyboardInterrupt):
            pass  # The parent process has ended.
        finally:
            if os.environ.get("TEST_REDIS_URL"):
                from benchmarks.redis_rows import forget

                forget()
            # Asynchronous code uses the database in a thread that has a connection of its own.
            asyncio.run(sync_to_async(connections.close_all)())


def _time(calls: Sequence[Callable[[], Any]]) -> list[tuple[float, Any]]:
    done = []
    for call in calls:
        start = perf_counter()
        result = call()
        done.append((perf_counter() - start, result))
    return done


async def _atime(calls: Sequence[Callable[[], Any]]) -> list[tuple[float, Any]]:
    """See _time()."""
    done = []
    for call in calls:
        start = perf_counter()
        result = await call()
        done.append((perf_counter() - start, result))
    return done
