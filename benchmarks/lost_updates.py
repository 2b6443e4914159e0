"""Let writers save the same session at the same time, and count the lost writes.

    python -m benchmarks.lost_updates [--databases NAME ...] [--writers N ...] [--writes N]

Each writer is a process with a counter of its own in the session. It loads the session, increases
the counter and saves, repeatedly. An acknowledged write that the session lacks at the end is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from time import perf_counter

from benchmarks.databases import named_databases, temporary_database
from benchmarks.engines import BASE, CACHED, ENGINES, OURS
from benchmarks.worker import set_up

__all__ = ["main"]

_CONTEXT = get_context("spawn")
_PATIENCE = 60  # Seconds for all writers to start.


def main(arguments: Sequence[str]) -> None:
    """Measure on each database and print a table."""
    options = _options(arguments)
    print(f"{'':12}{'':20}{'':6}{'writers':>8}{'saved':>8}{'lost':>16}{'seconds':>9}  errors")
    engines = [BASE, OURS]
    # The processes must share the cache.
    if os.environ.get("TEST_REDIS_URL"):
        engines.append(CACHED)
    with named_databases(options.databases) as databases:
        for database, url in databases.items():
            for engine in engines:
                arguments_of = (database, url, engine, options.writers, options.writes)
                # Each engine needs a process, because Django is set up once in a process.
                process = _CONTEXT.Process(target=_race_all, args=arguments_of)
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(f"{engine} on {database} failed; see above.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Race:
    engine: str
    url: str
    database: str
    """Its name; `url` tells the one beside which it was created."""
    session_key: str
    writes: int
    is_async: bool


def _race_all(database: str, url: str, engine: str, writers: Sequence[int], writes: int) -> None:
    set_up(engine, url, "race")
    with temporary_database() as name:
        store = import_module(ENGINES[engine].module).SessionStore
        for number in writers:
            for is_async in (False, True):
                session = store()
                session["user"] = "alice"
                session.save()
                race = _Race(
                    engine=engine,
                    url=url,
                    database=name,
                    session_key=session.session_key,
                    writes=writes,
                    is_async=is_async,
                )
                saved, seconds, errors = _run(race, number)
                left = store(session.session_key)
                lost = saved - sum(left.get(_counter(n), 0) for n in range(number))
                share = f"{lost} ({lost / saved:.0%})" if saved else "-"
                print(
                    f"{database:12}{engine:20}{'async' if is_async else 'sync':6}{number:8}"
                    f"{saved:8}{share:>16}{seconds:9.1f}  "
                    + ", ".join(f"{kind}: {times}" for kind, times in errors.items()),
                    flush=True,
                )


def _counter(number: int) -> str:
    return f"writer {number}"


def _run(race: _Race, writers: int) -> tuple[int, float, Counter[str]]:
    """Return the number of acknowledged writes, the seconds, and the errors of the others."""
    barrier = _CONTEXT.Barrier(writers + 1)
    processes, pipes = [], []
    for number in range(writers):
        pipe, end = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_write_all, args=(end, barrier, race, number))
        process.start()
        end.close()
        processes.append(process)
        pipes.append(pipe)
    barrier.wait(_PATIENCE)
    start = perf_counter()
    errors = sum((pipe.recv() for pipe in pipes), Counter[str]())
    seconds = perf_counter() - start
    for process in processes:
        process.join()
    return writers * race.writes - errors.total(), seconds, errors


def _write_all(pipe: Connection, barrier: Barrier, race: _Race, number: int) -> None:
    set_up(race.engine, race.url, "race")
    from django.db import connection

    connection.settings_dict["NAME"] = race.database
    store = import_module(ENGINES[race.engine].module).SessionStore
    own = _counter(number)
    errors: Counter[str] = Counter()

    def write() -> None:
        session = store(race.session_key)
        session[own] = session.get(own, 0) + 1
        session.save()

    async def awrite() -> None:
        """See write()."""
        session = store(race.session_key)
        await session.aset(own, await session.aget(own, 0) + 1)
        await session.asave()

    def write_all() -> None:
        for _ in range(race.writes):
            try:
                write()
            except Exception as error:
                errors[type(error).__name__] += 1

    async def awrite_all() -> None:
        """See write_all()."""
        for _ in range(race.writes):
            try:
                await awrite()
            except Exception as error:
                errors[type(error).__name__] += 1

    assert store(race.session_key)["user"] == "alice"  # Connects before the race begins.
    barrier.wait(_PATIENCE)
    if race.is_async:
        asyncio.run(awrite_all())
    else:
        write_all()
    pipe.send(errors)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lost_updates")
    parser.add_argument("--databases", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--writers", nargs="+", type=int, default=[2, 6, 16], metavar="N")
    parser.add_argument("--writes", type=int, default=200, metavar="N", help="of each writer")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
