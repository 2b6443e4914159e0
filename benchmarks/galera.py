"""Write to all nodes of a Galera Cluster, and count errors, lost writes and old answers.

    python -m benchmarks.galera [--sync-wait 0 1] [--without-retries] [--ports PORT PORT PORT]

Prints one row of a table for each value of wsrep_sync_wait:

- errors of revocations: in each round, three threads revoke the same subject, one on each node;
- lost writes: three threads, one on each node, increase a counter of their own in one session. An
  acknowledged write that the session lacks at the end is lost;
- overlapping leases: three threads, one on each node, lease one session in turn;
- unknown sessions: each session is created on one node, and at once loaded on the next one;
- milliseconds for which a node served a session that another node had already revoked.

Starts a cluster of its own, unless --ports names one: mariadbd and the package galera-4 must be
installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from unittest import mock

from benchmarks.nodes import set_up
from tests.support.galera import GaleraCluster, database_of

__all__ = ["main"]

_ALIASES = ["default", "second", "third"]
_COLUMNS = [
    "wsrep_sync_wait",
    "errors of {} revocations",
    "lost of {} saves",
    "errors of saves",
    "overlaps of {} leases",
    "errors of leases",
    "unknown of {} sessions",
    "ms served after {} revocations",
]


def main(arguments: Sequence[str]) -> None:
    """Measure with each value of wsrep_sync_wait, and print a table."""
    options = _options(arguments)
    with ExitStack() as stack:
        ports = options.ports
        if not ports:
            cluster = stack.enter_context(GaleraCluster())
            ports = [node.port for node in cluster.nodes]
        set_up({alias: database_of(port) for alias, port in zip(_ALIASES, ports, strict=True)})
        from benchmarks import galera_work as work
        from bff_sessions.stores.databases import retrying

        if options.without_retries:
            stack.enter_context(mock.patch.object(retrying, "_PAUSES", (None,)))
        times = options.times
        # Three threads each, or sessions.
        numbers = iter([3 * times, 9 * times, 3 * times, 5 * times, 5 * times])
        head = [name.format(next(numbers)) if "{" in name else name for name in _COLUMNS]
        print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}", flush=True)
        for sync_wait in options.sync_wait:
            _connect(sync_wait)
            row = [
                sync_wait,
                work.count_failed_revocations(times),
                *work.count_lost_writes(3 * times),
                *work.count_overlaps(times),
                work.count_unknown(5 * times),
                f"{1000 * work.measure_served(5 * times):.1f}",
            ]
            print(f"| {' | '.join(map(str, row))} |", flush=True)


def _connect(sync_wait: int) -> None:
    from django.db import connections

    connections.close_all()
    for alias in _ALIASES:
        command = f"SET SESSION wsrep_sync_wait = {sync_wait}"
        connections[alias].settings_dict["OPTIONS"]["init_command"] = command


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.galera")
    parser.add_argument("--sync-wait", nargs="+", type=int, default=[0, 1], metavar="N")
    parser.add_argument("--times", type=int, default=60, help="rounds of revocations")
    parser.add_argument("--ports", nargs=3, type=int, metavar="PORT", help="of running nodes")
    parser.add_argument("--without-retries", action="store_true", help="show what they prevent")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
