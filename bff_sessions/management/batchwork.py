"""Argument types, progress bar and signals for commands that work in batches."""

from __future__ import annotations

import math
import signal
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from bff_sessions._compat.django_commands import stream_of
from bff_sessions.contract.pacing import MAX_BATCH_SIZE


def batch_size(text: str) -> int:
    """Return the batch size that a command-line argument names."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MAX_BATCH_SIZE:
        raise ArgumentTypeError(f"must be a number from 1 to {MAX_BATCH_SIZE}, not {text!r}")
    return number


def not_negative(text: str) -> float:
    """Return the seconds that a command-line argument names."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not (number >= 0 and math.isfinite(number)):
        raise ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text!r}")
    return number


@contextmanager
def progress(
    command: BaseCommand, count: Callable[[], int], *, quiet: bool
) -> Iterator[Callable[[int], Any] | None]:
    """Show a progress bar, and yield a function that advances it by a number.

    Without a terminal or tqdm, yield None and do not call `count`. If the bar fails, the work
    continues without it.
    """
    bar = None if quiet else _open_bar(command, count)
    if bar is None:
        yield None
        return
    try:
        yield partial(_advance, bar)
    finally:
        with suppress(Exception):
            bar.close()


def _open_bar(command: BaseCommand, count: Callable[[], int]) -> Any:
    # The terminal may be closed, for example, or the table too slow to count.
    with suppress(Exception):
        from tqdm import tqdm

        if command.stderr.isatty():
            return tqdm(total=count(), unit=" sessions", file=stream_of(command.stderr))
    return None


def _advance(bar: Any, number: int) -> None:
    with suppress(Exception):
        bar.update(number)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set, to end the work between two batches."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Only the main thread may handle signals: this is a test or a task.
        return
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
