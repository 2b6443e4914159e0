"""Compare small and large tables of sessions, and count PostgreSQL's HOT updates.

    python -m benchmarks.growth [--databases NAME ...] [--sizes SMALL LARGE] [--saves N]

A small and a large table of the same engine take turns. On PostgreSQL an update is a HOT update if
it changes no indexed column and its page has space left. It adds no entry to any index.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import get_context

from benchmarks.databases import SERVERS, named_databases, temporary_database
from benchmarks.engines import BASE, ENGINES, OURS
from benchmarks.report import table
from benchmarks.rounds import measure
from benchmarks.worker import set_up

__all__ = ["main"]

_SESSIONS = 100


def main(arguments: Sequence[str]) -> None:
    """Measure on each database and print the results."""
    options = _options(arguments)
    named = [name for name, url in SERVERS.items() if os.environ.get(url)]
    if not (options.databases or named):
        raise SystemExit(f"Name a server: {' or '.join(SERVERS.values())}.")
    with named_databases(options.databases or named) as databases:
        for database, url in databases.items():
            for engine in options.engines:
                small, large = (f"{size:,} rows" for size in options.sizes)
                print(f"\n== {database}, {engine}: median microseconds (ratio)", flush=True)
                results = measure(
                    database,
                    url,
                    {small: (engine, options.sizes[0]), large: (engine, options.sizes[1])},
                    base=small,
                    operations=[
                        "load",
                        "save",
                        "create",
                        "first save of a day",
                        "revoke by session ID",
                        "list of a user",
                    ],
                    rounds=options.rounds,
                    iterations=options.iterations,
                )
                print(table(results), flush=True)
                if database == "PostgreSQL" and not ENGINES[engine].is_in_redis:
                    # Each engine needs a process, because Django is set up once in a process.
                    arguments_of = (engine, url, options.saves)
                    process = get_context("spawn").Process(target=_count, args=arguments_of)
                    process.start()
                    process.join()


def _count(engine_name: str, url: str, saves: int) -> None:
    """Save sessions repeatedly, and print the updates that PostgreSQL counted."""
    set_up(engine_name, url, "saves")
    from benchmarks.sessions import Sessions

    with temporary_database():
        sessions = Sessions(ENGINES[engine_name], 10_000)
        keys = [sessions.take() for _ in range(_SESSIONS)]
        model = import_module(f"{ENGINES[engine_name].app}.models").Session
        before = _updates(model._meta.db_table)
        for number in range(saves):
            session = sessions.open(keys[number % _SESSIONS])
            session["mark"] = number
            session.save()
        after = _updates(model._meta.db_table)
        updates, hot = (new - old for new, old in zip(after, before, strict=True))
        print(f"{saves} saves of {_SESSIONS} sessions: {updates} updates, {hot} of them HOT")


def _updates(table_name: str) -> tuple[int, int]:
    from django.db import connection

    with connection.cursor() as cursor:
        # Otherwise the counters may be a second old.
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s",
            [table_name],
        )
        updates, hot = cursor.fetchone()
        return updates, hot


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--databases", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--engines", nargs="+", default=[BASE, OURS], metavar="NAME")
    parser.add_argument("--sizes", nargs=2, type=int, default=[10_000, 1_000_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=40, help="of an operation in a round")
    parser.add_argument("--saves", type=int, default=2_000, help="that PostgreSQL counts")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
