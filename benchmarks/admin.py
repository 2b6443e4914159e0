"""Measure the admin among millions of sessions: time and statements of each page.

    python -m benchmarks.admin [--databases NAME ...] [--rows N] [--ticket N] [--rounds N]

Wall time runs from the request to the rendered page. CPU time is that of this process and, on
Linux, of the database's process or thread. It does not grow when the machine is busy otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.databases import SERVERS, named_databases, temporary_database

__all__ = ["main"]

_LIST = "/admin/bff_sessions/session/"


def main(arguments: Sequence[str]) -> None:
    """Measure on each database and print a table."""
    options = _options(arguments)
    named = [name for name, url in SERVERS.items() if os.environ.get(url)]
    if not named:
        raise SystemExit(f"Name a server: {' or '.join(SERVERS.values())}.")
    with named_databases(options.databases or named) as databases:
        for database, url in databases.items():
            print(f"\n== {database}, {options.rows:,} rows", flush=True)
            # Each database needs a process, because Django is set up once in a process.
            arguments_of = (url, options.rows, options.ticket, options.rounds)
            process = get_context("spawn").Process(target=_measure, args=arguments_of)
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)


def _measure(url: str, rows: int, ticket: int, rounds: int) -> None:
    os.environ |= {"DJANGO_SETTINGS_MODULE": "benchmarks.admin_settings", "BENCH_DATABASE_URL": url}
    import django

    django.setup()
    from django.test.utils import setup_test_environment

    setup_test_environment()  # Gives responses their contexts.
    with temporary_database():
        from benchmarks.admin_rows import add_sessions

        begin = time.perf_counter()
        add_sessions(rows, ticket)
        print(f"filled in {time.perf_counter() - begin:.0f} s\n", flush=True)
        print(f"{'page':<34}{'wall ms':>9}{'CPU ms':>8}{'statements':>12}{'rows':>6}")
        for name, figures in _times(rounds).items():
            walls, cpus, statements, shown = zip(*figures, strict=True)
            numbers = "/".join(map(str, sorted(set(statements))))
            print(
                f"{name:<34}{median(walls):>9.0f}{median(cpus):>8.0f}{numbers:>12}{shown[-1]:>6}",
                flush=True,
            )


def _times(rounds: int) -> dict[str, list[tuple[float, float, int, int]]]:
    """Return wall time and CPU time in ms, statements and rows shown, by page and round."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    browser = Client()
    browser.force_login(User.objects.create_superuser("root", pk=100_000_001))
    pages = list(_pages(browser))
    database = _database_clock()
    figures: dict[str, list[tuple[float, float, int, int]]] = {name: [] for name, _, _ in pages}
    for _round in range(rounds + 1):  # The first round warms up.
        for name, address, prepare in pages:
            prepare()
            with CaptureQueriesContext(connection) as captured:
                began = time.perf_counter(), time.process_time() + database()
                response = browser.get(address)
                ended = time.perf_counter(), time.process_time() + database()
            assert response.status_code == 200, address
            shown = response.context.get("cl")
            figures[name].append(
                (
                    (ended[0] - began[0]) * 1000,
                    (ended[1] - began[1]) * 1000,
                    len(captured),
                    len(shown.result_list) if shown else 0,
                )
            )
    return {name: values[1:] for name, values in figures.items()}


def _pages(browser: Any) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield the name of each page, its address, and what to call before the request."""
    from django.core.cache import cache

    from benchmarks.admin_rows import ISSUER, RARE
    from bff_sessions.models import Session

    def nothing() -> None:
        pass

    rows = Session.objects.filter(issuer=ISSUER.format(1)).order_by("pk")
    row = rows.filter(pk__gt=rows.last().pk // 2)[0]
    yield "list", _LIST, nothing
    address = _LIST
    for _page in range(3):
        address = _LIST + browser.get(address).context["cl"].next_page
    yield "list, fourth page", address, nothing
    middle = row.created.timestamp() * 1_000_000
    yield "list, from the middle", f"{_LIST}?p={middle:.0f}-{row.pk}", nothing
    for filter in (
        "state=live",
        "state=expired",
        "since=hour",
        "since=day",
        "since=week",
        "since=month",
        "provider=with",
        "provider=without",
        "provider=nobody",
        "partition=shop",
        f"partition={RARE}",
        "state=expired&partition=shop&since=month",
        f"state=live&provider=nobody&partition={RARE}",
    ):
        yield filter, f"{_LIST}?{filter}", nothing
    for name, term in (
        ("subject", row.subject_id),
        ("sid", row.session_id),
        ("user", row.user_id),
        ("unknown", "nobody"),
        ("issuer", f"iss:{row.issuer}"),
        ("unknown issuer", "iss:https://nobody.example"),
        ("issuer and subject", f"iss:{row.issuer} {row.subject_id}"),
    ):
        yield f"search: {name}", f"{_LIST}?q={term}", nothing
    yield "session", f"{_LIST}{row.pk}/change/", nothing
    yield "overview", f"{_LIST}overview/", nothing
    yield "overview, empty cache", f"{_LIST}overview/", cache.clear


def _database_clock() -> Callable[[], float]:
    """Return a clock of the CPU seconds of the database's process or thread for our connection."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_backend_pid()")
        else:
            threads = "information_schema.processlist"
            cursor.execute(f"SELECT tid FROM {threads} WHERE id = connection_id()")
        (number,) = cursor.fetchone()
    clock = next(Path("/proc").glob(f"[0-9]*/task/{number}/schedstat"), None)
    if clock is None:
        print("The database runs on another machine: CPU ms are those of this process only.")
        return lambda: 0.0
    return lambda: int(clock.read_text().split()[0]) / 1e9


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admin")
    parser.add_argument("--databases", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ticket", type=int, default=1_024, metavar="N", help="its bytes")
    parser.add_argument("--rounds", type=int, default=11)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
