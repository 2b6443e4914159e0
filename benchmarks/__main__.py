"""Compare the session engines: python -m benchmarks --help."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.databases import SERVERS, named_databases
from benchmarks.engines import BASE, ENGINES
from benchmarks.report import save_json, table
from benchmarks.rounds import Result, measure

__all__ = ["main"]


def main(arguments: Sequence[str]) -> list[Result]:
    """Measure, print and save what `arguments` ask for."""
    options = _options(arguments)
    engines = {name: engine for name, engine in ENGINES.items() if engine.is_available}
    if missing := sorted(ENGINES.keys() - engines.keys()):
        print(
            "Not measured, because they are not installed, or TEST_REDIS_URL is not set: "
            f"{', '.join(missing)}."
        )
    wanted = options.engines or list(engines)
    contestants = {name: (name, options.rows) for name in engines if name in wanted}
    results: list[Result] = []
    with named_databases(options.databases) as databases:
        for database, url in databases.items():
            print(f"\n== {database}: median microseconds (ratio to {options.base})", flush=True)
            measured = measure(
                database,
                url,
                contestants,
                base=options.base,
                operations=options.operations,
                rounds=options.rounds,
                iterations=options.iterations,
            )
            print(table(measured), flush=True)
            results += measured
    if unnamed := [url for url in SERVERS.values() if not os.environ.get(url)]:
        print(f"\nNot measured, because the environment names no server: {', '.join(unnamed)}.")
    if options.json:
        save_json(options.json, results)
    if options.chart:
        options.chart.write_text(draw(results))
    return results


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--databases", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--engines", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--base", default=BASE, metavar="NAME", help="what ratios are to")
    parser.add_argument("--operations", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=12, help="of an operation in a round")
    parser.add_argument("--rows", type=int, default=20_000, help="sessions in the table before")
    parser.add_argument("--quick", action="store_true", help="5 rounds of 10 among 2,000 rows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="for pyperf")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="SVG")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.iterations, options.rows = 5, 10, 2_000
    return options


if __name__ == "__main__":
    main(sys.argv[1:])
