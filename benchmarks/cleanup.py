"""Measure clean-up: how long other requests wait, and how long it takes beside one plain DELETE.

    python -m benchmarks.cleanup [--databases NAME ...] [--rows N] [--expired N] [--json FILE]

The table has rows of about 1 KB, some of them expired, in random places. Readers and writers use
live sessions. Each round measures them while nothing else happens, during `cleanup_sessions`
without options, and during one DELETE of the same rows. At the end, without readers and writers,
two clean-ups run at once, and one cleans up few rows to measure its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from benchmarks.bystanders import Bystanders, connect
from benchmarks.databases import named_databases, temporary_database
from benchmarks.engines import OURS
from benchmarks.worker import set_up

__all__ = ["main"]

_CONTEXT = get_context("spawn")
_LIVE = 500  # Sessions that readers and writers use.
_ORIGINALS = 20_000  # The other rows are copies of these.
_BATCH = 500
_DAY = 86_400


def main(arguments: Sequence[str]) -> dict[str, Any]:
    """Measure on each database, and return what the file contains."""
    options = _options(arguments)
    results = {}
    with named_databases(options.databases) as databases:
        for database, url in databases.items():
            pipe, end = _CONTEXT.Pipe()
            # Each database needs a process, because Django is set up once in a process.
            process = _CONTEXT.Process(target=_measure, args=(end, url, options))
            process.start()
            end.close()
            try:
                results[database] = pipe.recv()
            except EOFError:
                raise SystemExit(f"{database} failed; see above.") from None
            process.join()
            print(_text(database, results[database]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return results


def _measure(pipe: Connection, url: str, options: argparse.Namespace) -> None:
    set_up(OURS, url, "cleanup")
    with temporary_database() as name:
        keys = _fill(options.rows, options.expired, options.ticket)
        others = Bystanders(url, name, keys, options.readers, options.writers)
        cleaned, deleted = [], []
        for _ in range(options.rounds):
            with others.during("idle"):
                sleep(options.idle)
            cleaned += _run(url, name, _clean_up, during=others.during("clean-up"))
            _refill()
            deleted += _run(url, name, _delete, during=others.during("DELETE"))
            _refill()
        others.dismiss()
        two = _run(url, name, _clean_up, _clean_up)
        _refill(options.few)
        few = _run(url, name, _clean_up)
    pipe.send(
        {
            "rows": options.rows,
            "clean-up": cleaned,
            "DELETE": deleted,
            "two clean-ups": two,
            "few rows": few,
            "others": {
                f"{kind}, {phase}": {
                    "number": len(waits.seconds),
                    "p50 ms": waits.milliseconds(0.5),
                    "p99 ms": waits.milliseconds(0.99),
                    "longest ms": waits.milliseconds(1),
                    "errors": waits.errors,
                }
                for (kind, phase), waits in others.waits.items()
            },
        }
    )


def _fill(rows: int, expired: int, ticket: int) -> list[str]:
    """Add the rows, copy the expired ones, and return the session keys of live sessions."""
    from datetime import timedelta

    from django.db import connection
    from django.utils import timezone

    from benchmarks.contents import text
    from benchmarks.rows import copy_rows, without_indexes
    from bff_sessions.engine import SessionStore
    from bff_sessions.models import Session

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            # For this connection only; the others have the defaults.
            cursor.execute("PRAGMA synchronous = OFF")
            cursor.execute("PRAGMA cache_size = -1000000")
    keys = []
    for _ in range(_LIVE):
        session = SessionStore()
        session["mark"], session["token"] = 0, text(600)
        session.save()
        keys.append(session.session_key)
    now = timezone.now()
    originals = min(rows, _ORIGINALS)

    def row(number: int) -> Session:
        # Expired rows are spread evenly, and times are not in the order of the table.
        is_expired = (number + 1) * expired // rows > number * expired // rows
        distance = timedelta(seconds=1 + number * 7_919 % _DAY)
        return Session(
            key=text(64),
            partition="default",
            subject_id=str(number),
            session_id=text(32),
            user_id=str(number),
            created=now,
            renewed=now,
            expires=now - distance if is_expired else now + timedelta(days=1) + distance,
            ticket=text(ticket).encode(),
        )

    with without_indexes(Session):
        for start in range(0, originals, _BATCH):
            batch = [row(number) for number in range(start, min(start + _BATCH, originals))]
            Session._base_manager.bulk_create(batch)
            copy_rows(batch, rows // originals - 1)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE expired AS SELECT * FROM {Session._meta.db_table} WHERE expires <= %s",
            [connection.ops.adapt_datetimefield_value(now)],
        )
    _tidy_up()
    return keys


def _refill(number: int | None = None) -> None:
    """Insert the expired rows again, or `number` of them."""
    from django.db import connection

    from bff_sessions.models import Session

    _tidy_up()  # Lets PostgreSQL reuse the space of the deleted rows.
    limit = "" if number is None else f" LIMIT {number}"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {Session._meta.db_table} SELECT * FROM expired{limit}")
    _tidy_up()


def _tidy_up() -> None:
    from django.db import connection

    from bff_sessions.models import Session

    statement = {"postgresql": "VACUUM ANALYZE", "mysql": "ANALYZE TABLE", "sqlite": "ANALYZE"}
    with connection.cursor() as cursor:
        cursor.execute(f"{statement[connection.vendor]} {Session._meta.db_table}")
        if connection.vendor == "postgresql":
            cursor.execute("CHECKPOINT")
        while connection.vendor == "mysql" and _unpurged(cursor) > 1_000:
            sleep(1)  # InnoDB deletes in the background what was deleted.
    os.sync()


def _unpurged(cursor: Any) -> int:
    cursor.execute(
        "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'"
    )
    return int(cursor.fetchone()[0])


def _run(
    url: str,
    name: str,
    *works: Callable[[], int],
    during: AbstractContextManager[None] | None = None,
) -> list[dict[str, Any]]:
    """Run all `works` at the same time, each in a process, and return their figures."""
    pipes = []
    for work in works:
        pipe, end = _CONTEXT.Pipe()
        _CONTEXT.Process(target=_time, args=(end, url, name, work)).start()
        end.close()
        pipes.append(pipe)
    for pipe in pipes:
        pipe.recv()  # Connected.
    with during or nullcontext():
        for pipe in pipes:
            pipe.send("go")
        return [pipe.recv() for pipe in pipes]


def _time(pipe: Connection, url: str, name: str, work: Callable[[], int]) -> None:
    connect(url, name)
    pipe.send("ready")
    pipe.recv()
    start = perf_counter()
    deleted = work()
    seconds = perf_counter() - start
    pipe.send({"deleted": deleted, "seconds": seconds, "peak MB": _peak_megabytes()})


def _peak_megabytes() -> float | None:
    # resource.getrusage() also includes the process that started this one.
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _clean_up() -> int:
    from io import StringIO

    from django.core.management import call_command

    output = StringIO()
    call_command("cleanup_sessions", stdout=output)
    return int(output.getvalue().split()[0])


def _delete() -> int:
    from django.utils import timezone

    from bff_sessions.models import Session

    rows = Session._base_manager.filter(expires__lte=timezone.now())
    deleted: int = rows._raw_delete(rows.db)
    return deleted


def _text(database: str, result: dict[str, Any]) -> str:
    lines = [
        f"\n== {database}, {result['rows']:,} rows",
        f"{'':18}{'number':>8}{'p50 ms':>9}{'p99 ms':>9}{'longest':>9}{'p99 / idle':>12}  errors",
    ]
    for label, waits in result["others"].items():
        idle = result["others"][f"{label.split(', ')[0]}, idle"]
        lines.append(
            f"{label:18}{waits['number']:8}{waits['p50 ms']:9.1f}{waits['p99 ms']:9.1f}"
            f"{waits['longest ms']:9.1f}{waits['p99 ms'] / idle['p99 ms']:12.2f}  "
            + ", ".join(f"{text}: {times}" for text, times in waits["errors"].items())
        )
    for label in ("clean-up", "DELETE", "two clean-ups", "few rows"):
        for run in result[label]:
            peak = "" if run["peak MB"] is None else f", {run['peak MB']:.0f} MB at most"
            lines.append(f"{label:18}{run['deleted']:8} rows in {run['seconds']:.2f} s{peak}")
    ratios = [
        own["seconds"] / plain["seconds"]
        for own, plain in zip(result["clean-up"], result["DELETE"], strict=True)
    ]
    lines.append(f"clean-up / DELETE: {median(ratios):.2f}")
    return "\n".join(lines)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleanup")
    parser.add_argument("--databases", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--expired", type=int, default=200_000, metavar="N", help="among them")
    parser.add_argument("--ticket", type=int, default=700, metavar="N", help="its bytes")
    parser.add_argument("--few", type=int, default=10_000, metavar="N", help="for its memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=10, metavar="S", help="seconds of a round")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
