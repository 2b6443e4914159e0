"""Processes that read and write sessions, and how long they wait while a benchmark works."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import perf_counter

from benchmarks.engines import OURS
from benchmarks.worker import set_up

__all__ = ["Bystanders", "Waits", "connect"]

_CONTEXT = get_context("spawn")
_PAUSE = 0.02  # At most so many seconds between two requests of a process; half on average.


@dataclass(kw_only=True, slots=True)
class Waits:
    """The waiting times and errors of one kind of bystander in one phase."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def milliseconds(self, share: float) -> float:
        """Return the quantile `share` of the waiting times; 1 is the longest."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3


class Bystanders:
    """Processes that load sessions, or load, change and save them, on command.

    Args:
        keys: session keys. Each process uses a different part of them.
    """

    def __init__(self, url: str, name: str, keys: Sequence[str], readers: int, writers: int):
        self.waits: dict[tuple[str, str], Waits] = defaultdict(Waits)
        self._kinds = ["read"] * readers + ["write"] * writers
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        for number, kind in enumerate(self._kinds):
            pipe, end = _CONTEXT.Pipe()
            own = keys[number :: len(self._kinds)]
            process = _CONTEXT.Process(target=_work, args=(end, url, name, own, kind == "write"))
            process.start()
            end.close()
            self._processes.append(process)
            self._pipes.append(pipe)
        for pipe in self._pipes:
            pipe.recv()  # Connected.

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Let them work, and add their waiting times to ``waits[kind, phase]``."""
        for pipe in self._pipes:
            pipe.send("work")
        yield
        for pipe in self._pipes:
            pipe.send("rest")
        for kind, pipe in zip(self._kinds, self._pipes, strict=True):
            seconds, errors = pipe.recv()
            self.waits[kind, phase].seconds += seconds
            self.waits[kind, phase].errors += errors

    def dismiss(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()
            process.join()


def connect(url: str, name: str) -> None:
    """Set up Django in this process for the database `name`, which another process has created."""
    set_up(OURS, url, "cleanup")
    from django.db import connection

    connection.settings_dict["NAME"] = name
    connection.settings_dict["OPTIONS"].pop("timeout", None)  # Measure with Django's default.
    connection.ensure_connection()


def _work(pipe: Connection, url: str, name: str, keys: Sequence[str], writes: bool) -> None:
    connect(url, name)
    from bff_sessions.engine import SessionStore

    def request() -> None:
        session = SessionStore(random.choice(keys))
        session["mark"] = session["mark"] + 1 if writes else session["mark"]
        if writes:
            session.save()

    pipe.send("ready")
    try:
        while pipe.recv():
            waits = Waits()
            is_over = False
            while not is_over:
                start = perf_counter()
                try:
                    request()
                except Exception as error:
                    waits.errors[str(error)] += 1
                waits.seconds.append(perf_counter() - start)
                # Stop on command; otherwise the pause is over.
                is_over = pipe.poll(random.uniform(0, _PAUSE))
            pipe.recv()
            pipe.send((waits.seconds, waits.errors))
    except EOFError:
        pass  # dismiss() has closed the pipe.
