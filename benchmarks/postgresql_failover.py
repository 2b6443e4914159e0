"""Let users sign out while a PostgreSQL primary crashes, and count the sign-outs that are lost.

    python -m benchmarks.postgresql_failover [--runs 5] [--lag 0 0.1] [--standby sync async]

Threads sign users out, each from a session of its own. Meanwhile all processes of the primary are
killed, and its standby is promoted. Django knows both servers, and libpq connects to the one that
writes. A sign-out that was acknowledged is lost if its session is served afterwards.

On one machine, a standby is behind by less than a millisecond. With --lag, it receives nothing for
so many seconds before the crash, as after a network fault. Prints one row of a table for each
standby and lag; the runs are added up. Starts servers of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import Event

from benchmarks.nodes import set_up
from tests.support.postgresql_servers import PostgreSQLPair

__all__ = ["main"]

_CONTEXT = get_context("spawn")
_COLUMNS = [
    "standby",
    "lag in ms",
    "sign-outs acknowledged before the crash",
    "after it",
    "lost",
    "errors",
    "longest pause in s",
]
_THREADS = 4
_LOAD_SECONDS = 0.7  # Before the crash, and after the promotion.


@dataclass(kw_only=True, slots=True)
class Outcome:
    """The counts of one run."""

    before: int = 0
    after: int = 0
    lost: int = 0
    errors: int = 0
    pause: float = 0
    """The longest time without an acknowledged sign-out, in seconds."""


def main(arguments: Sequence[str]) -> None:
    """Measure each kind of standby with each lag, and print a table."""
    options = _options(arguments)
    print(f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}", flush=True)
    for kind in options.standby:
        for lag in options.lag:
            outcomes = [_run_alone(kind == "sync", lag) for _ in range(options.runs)]
            row = [
                kind,
                f"{1000 * lag:.0f}",
                sum(outcome.before for outcome in outcomes),
                sum(outcome.after for outcome in outcomes),
                sum(outcome.lost for outcome in outcomes),
                sum(outcome.errors for outcome in outcomes),
                f"{max(outcome.pause for outcome in outcomes):.2f}",
            ]
            print(f"| {' | '.join(map(str, row))} |", flush=True)


def _run_alone(is_synchronous: bool, lag: float) -> Outcome:
    # Each run needs a process, because Django is set up once in a process.
    pipe, end = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_run, args=(end, is_synchronous, lag))
    process.start()
    end.close()
    outcome: Outcome = pipe.recv()
    process.join()
    return outcome


def _run(pipe: Connection, is_synchronous: bool, lag: float) -> None:
    with PostgreSQLPair(synchronous=is_synchronous) as pair:
        set_up({"default": pair.database()})
        pipe.send(_fail_over_under_load(pair, lag))


def _fail_over_under_load(pair: PostgreSQLPair, lag: float) -> Outcome:
    from django.db import Error, connections, transaction

    from bff_sessions.engine import SessionStore

    def start(number: int) -> str:
        session = SessionStore()
        session["oidc"] = {"iss": "https://idp.example", "sub": f"user {number}", "sid": "1"}
        session.save()
        key: str = session.session_key
        return key

    waiting: SimpleQueue[str] = SimpleQueue()
    with transaction.atomic():
        for number in range(2_000):
            waiting.put(start(number))
    stop, outcome = Event(), Outcome()
    acknowledged: list[tuple[float, str]] = []

    def sign_out() -> None:
        try:
            while not stop.is_set():
                key = waiting.get_nowait()
                try:
                    SessionStore(key).flush()
                except Error:
                    outcome.errors += 1
                    connections["default"].close()  # As the end of a request does.
                else:
                    acknowledged.append((time.monotonic(), key))
        except Empty:
            stop.set()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(_THREADS) as pool:
        threads = [pool.submit(sign_out) for _ in range(_THREADS)]
        time.sleep(_LOAD_SECONDS)
        if lag:
            pair.primary.stop_sending()
            time.sleep(lag)
        crashed = time.monotonic()
        pair.fail_over()
        time.sleep(_LOAD_SECONDS)
        stop.set()
        for thread in threads:
            thread.result()
    moments = sorted(moment for moment, _ in acknowledged)
    outcome.before = sum(moment < crashed for moment in moments)
    outcome.after = len(moments) - outcome.before
    outcome.pause = max(b - a for a, b in pairwise(moments))
    outcome.lost = sum("oidc" in SessionStore(key) for _, key in acknowledged)
    connections.close_all()
    return outcome


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgresql_failover")
    parser.add_argument(
        "--standby", nargs="+", choices=["sync", "async"], default=["sync", "async"]
    )
    parser.add_argument("--lag", nargs="+", type=float, default=[0, 0.1], metavar="SECONDS")
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
