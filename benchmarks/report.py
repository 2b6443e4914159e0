"""The results, as text and as a file that pyperf reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.rounds import Result

__all__ = ["save_json", "table"]


def table(results: Sequence[Result]) -> str:
    """Return a table of median microseconds, with the ratio to the base in brackets."""
    contestants = list(dict.fromkeys(result.contestant for result in results))
    cells = {
        (result.operation, result.contestant): f"{result.seconds * 1e6:.0f} ({result.ratio:.2f})"
        for result in results
    }
    lines = [["", *contestants]]
    for operation in dict.fromkeys(result.operation for result in results):
        row = [cells.get((operation, contestant), "-") for contestant in contestants]
        lines.append([operation, *row])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(
            f"  {cell.rjust(width)}" for cell, width in zip(line[1:], widths[1:], strict=True)
        )
        for line in lines
    )


def save_json(path: Path, results: Sequence[Result]) -> None:
    """Save one benchmark for each result, with the median and the ratio of each round."""
    import pyperf

    # Collected once. The name of the machine is private.
    machine = pyperf.Run([1.0]).get_metadata()
    machine = {name: value for name, value in machine.items() if name != "hostname"}
    benchmarks = []
    for result in results:
        about = {
            "name": f"{result.database}: {result.contestant}: {result.operation}",
            "database": result.database,
            "engine": result.contestant,
            "operation": result.operation,
            "ratio": result.ratio,
        }
        runs = [
            pyperf.Run(
                [seconds],
                metadata=machine | about | {"ratio_of_round": ratio},
                collect_metadata=False,
            )
            for seconds, ratio in zip(result.rounds, result.ratios, strict=True)
        ]
        benchmarks.append(pyperf.Benchmark(runs))
    pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)
