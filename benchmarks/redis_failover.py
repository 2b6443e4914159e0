"""Let nodes of a Redis Cluster fail under load, and count sign-outs that are undone.

    python -m benchmarks.redis_failover [--experiments NAME ...] [--replicas 0 all]

The benchmark starts a cluster of its own: three primaries with one replica each. Threads sign in,
read, save and sign out by subject, while

- kill: a primary is killed, `--kills` times. Its replica takes its place; it returns as a replica;
- pause: the process of a primary stands still for `--seconds`. A replica takes its place, and
  sessions are signed out there. Then the old primary goes on, and a client that knows of no change
  reads them;
- revoke: nothing fails, until `--revocations` sessions are signed out;
- reshard: `--slots` slots move to another primary.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import django
from django.conf import settings
from django.test import override_settings

from benchmarks.redis_load import Load
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.stores.redis import RedisUserSessionStore
from bff_sessions.testing import make_session
from tests.support.redis_cluster import Cluster, Node

__all__ = ["main"]

_THREADS = 4
# Seconds in which the load meets the changed cluster.
_SETTLE = 2.0
_WIDTHS = "{:9}{:>9}{:>10}{:>8}{:>10}{:>12}{:>6}{:>8}  {}"
_TITLES = ("", "replicas", "requests", "failed", "gone", "signed out", "lost", "served", "")


def main(arguments: Sequence[str]) -> int:
    """Print a row for each experiment. Return 1 if a sign-out that replicas confirmed was lost."""
    options = _options(arguments)
    settings.configure(
        SECRET_KEY="only for this benchmark, and long enough for it",
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "bff_sessions"],
    )
    django.setup()
    print(_WIDTHS.format(*_TITLES), flush=True)
    is_lost = False
    with Cluster(program=options.program) as cluster:
        for name in options.experiments:
            for replicas in options.replicas:
                cluster.empty()
                number = None if replicas == "all" else int(replicas)
                redis = {"URL": [node.url for node in cluster.nodes], "CLUSTER": True}
                with override_settings(BFF_SESSIONS={"REDIS": redis | {"REPLICAS": number}}):
                    row = _EXPERIMENTS[name](RedisUserSessionStore(), cluster, options)
                print(_WIDTHS.format(name, replicas, *row.cells()), flush=True)
                is_lost |= replicas == "all" and row.lost > 0
    return int(is_lost)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    requests: int
    failed: dict[str, int]
    gone: int
    signed_out: int
    lost: int
    served: int
    note: str

    @classmethod
    def of(cls, load: Load, note: str = "") -> _Row:
        return cls(
            requests=load.requests,
            failed=load.failed,
            gone=len(load.gone),
            signed_out=len(load.revoked),
            lost=load.lost(),
            served=load.served,
            note=note,
        )

    def cells(self) -> list[object]:
        kinds = ", ".join(f"{kind}: {number}" for kind, number in self.failed.items())
        figures = [self.requests, sum(self.failed.values()), self.gone, self.signed_out]
        return [*figures, self.lost, self.served, "; ".join(filter(None, [self.note, kinds]))]


def _kill(store: RedisUserSessionStore, cluster: Cluster, options: argparse.Namespace) -> _Row:
    seconds = []
    with Load(store, _THREADS) as load:
        for _ in range(options.kills):
            time.sleep(_SETTLE)
            primary = random.choice(cluster.primaries())
            primary.kill()
            killed = time.monotonic()
            cluster.wait()
            time.sleep(_SETTLE)
            seconds.append(max(load.last_failure - killed, 0.0))
            cluster.heal()
    return _Row.of(load, f"{median(seconds):.1f} s, at most {max(seconds):.1f} s with failures")


def _revoke(store: RedisUserSessionStore, cluster: Cluster, options: argparse.Namespace) -> _Row:
    with Load(store, _THREADS) as load:
        while len(load.revoked) < options.revocations:
            time.sleep(0.1)
    return _Row.of(load)


def _reshard(store: RedisUserSessionStore, cluster: Cluster, options: argparse.Namespace) -> _Row:
    source, target = cluster.primaries()[:2]
    with Load(store, _THREADS) as load:
        time.sleep(_SETTLE)
        cluster.reshard(sorted(source.slots())[: options.slots], target)
        time.sleep(_SETTLE)
    return _Row.of(load)


def _pause(store: RedisUserSessionStore, cluster: Cluster, options: argparse.Namespace) -> _Row:
    primary = cluster.primaries()[0]
    keys = _sign_in_on(primary, store)
    # Knows its nodes from the first command, and sends no other before the sign-out.
    stale = RedisUserSessionStore()
    signed_out, stop = threading.Event(), threading.Event()
    failed: Counter[str] = Counter()

    def read(key: str) -> list[float | None]:
        """Return the moments at which requests were served; None for one that was not."""
        stale.get_user_session(key)
        signed_out.wait()
        moments = []
        while not stop.is_set():
            try:
                found = stale.get_user_session(key)
            except StoreUnavailable as error:
                failed[type(error).__name__] += 1
            else:
                moments.append(None if found is None else time.monotonic())
        return moments

    with ThreadPoolExecutor(len(keys)) as pool:
        reads = [pool.submit(read, key) for key in keys]
        time.sleep(_SETTLE)
        primary.pause()
        time.sleep(options.seconds)
        cluster.wait()
        for subject_id in keys.values():
            _sign_out(store, subject_id)
        returned = time.monotonic()
        signed_out.set()
        # The first requests wait for the process that stands still.
        time.sleep(1)
        resumed = time.monotonic()
        primary.resume()
        time.sleep(_SETTLE)
        stop.set()
        moments = [moment for each in reads for moment in each.result()]
    cluster.heal()
    served = [moment for moment in moments if moment is not None]
    note = "never served"
    if served:
        note = (
            f"served until {1000 * (max(served) - resumed):.1f} ms after SIGCONT, "
            f"{1000 * (max(served) - returned):.1f} ms after the sign-out"
        )
    return _Row(
        requests=len(moments),
        failed=failed,
        gone=0,
        signed_out=len(keys),
        lost=sum(store.get_user_session(key) is not None for key in keys),
        served=len(served),
        note=note,
    )


def _sign_in_on(node: Node, store: RedisUserSessionStore) -> dict[str, str]:
    """Create sessions which `node` stores, one for each thread. Return keys and subjects."""
    subjects = {}
    while len(subjects) < _THREADS:
        session = make_session(subject_id=f"user {random.getrandbits(64)}")
        store.create_user_session(session)
        if any(session.key in name for name in node.ask("KEYS", "*")):
            subjects[session.key] = session.subject_id
    return subjects


def _sign_out(store: RedisUserSessionStore, subject_id: str) -> None:
    """Sign out, and repeat that until the store has acknowledged it."""
    while True:
        with suppress(StoreUnavailable):
            store.delete_user_sessions(UserSessionsFilter(subject_id=subject_id))
            return


_EXPERIMENTS: dict[str, Callable[[RedisUserSessionStore, Cluster, argparse.Namespace], _Row]] = {
    "kill": _kill,
    "pause": _pause,
    "revoke": _revoke,
    "reshard": _reshard,
}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_failover")
    parser.add_argument("--experiments", nargs="+", choices=_EXPERIMENTS, default=[*_EXPERIMENTS])
    parser.add_argument("--replicas", nargs="+", choices=["0", "1", "all"], default=["0", "all"])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--revocations", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=500)
    parser.add_argument("--program", default="redis-server", help="the server: a command or path")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
