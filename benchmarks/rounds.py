"""Rounds in which the processes take turns, and their results."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from benchmarks.worker import work

__all__ = ["Result", "measure"]


@dataclass(kw_only=True, slots=True)
class Result:
    """One operation of one contestant on one database."""

    database: str
    contestant: str
    operation: str
    rounds: list[float] = field(default_factory=list)
    """The median of each round, in seconds."""
    ratios: list[float] = field(default_factory=list)
    """For each round the ratio to the base in the same round."""

    @property
    def seconds(self) -> float:
        return median(self.rounds)

    @property
    def ratio(self) -> float:
        return median(self.ratios)


def measure(
    database: str,
    url: str,
    contestants: Mapping[str, tuple[str, int]],
    *,
    base: str,
    operations: Collection[str] = (),
    rounds: int,
    iterations: int,
) -> list[Result]:
    """Measure `operations`, or the usual ones if it is empty.

    Args:
        contestants: name -> engine, and the number of rows in the table before.
        base: the contestant to which the others are compared.
    """
    results: dict[tuple[str, str], Result] = {}
    with _workers(url, contestants) as workers:
        offered = {name: _answer(name, pipe) for name, pipe in workers.items()}
        usual, others = offered[base]
        chosen = [name for name in (*usual, *others) if name in (operations or usual)]
        # The first round only warms up.
        for number in range(rounds + 1):
            for operation in chosen:
                turn = operation, iterations if number else min(iterations, 10)
                names = [name for name in workers if any(operation in o for o in offered[name])]
                # A random order, so that no contestant always follows the same one.
                random.shuffle(names)
                medians = {}
                for name in names:
                    workers[name].send(turn)
                    medians[name] = median(_answer(name, workers[name]))
                if not number:
                    continue
                for name in sorted(names, key=list(contestants).index):
                    result = results.setdefault(
                        (operation, name),
                        Result(database=database, contestant=name, operation=operation),
                    )
                    result.rounds.append(medians[name])
                    result.ratios.append(medians[name] / medians[base])
    return list(results.values())


@contextmanager
def _workers(
    url: str, contestants: Mapping[str, tuple[str, int]]
) -> Iterator[dict[str, Connection]]:
    # Spawned, because each process sets up Django with its own settings.
    context = get_context("spawn")
    workers = {}
    processes = []
    try:
        for name, (engine, rows) in contestants.items():
            workers[name], end = context.Pipe()
            process = context.Process(target=work, args=(end, engine, url, rows), name=name)
            process.start()
            end.close()
            processes.append(process)
        yield workers
    finally:
        for pipe in workers.values():
            pipe.close()
        for process in processes:
            process.join()


def _answer(name: str, pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit(f"{name} failed; see above.") from None
