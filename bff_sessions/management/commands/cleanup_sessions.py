"""manage.py cleanup_sessions: remove expired sessions. Run it from cron."""

from __future__ import annotations

import math
import signal
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from bff_sessions.contract import ANY, DeletedSession, UserSessionStoreCleanup, check_text
from bff_sessions.stores import get_store
from bff_sessions.stores.batches import MAX_BATCH_SIZE


class Command(BaseCommand):
    help = "Remove expired sessions, in short transactions. Several hosts may run it at once."
    # Their warnings would make cron write a mail each time.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--batch-size",
            type=_batch_size,
            default=MAX_BATCH_SIZE,
            metavar="N",
            help=f"sessions in one transaction at most, 1 to {MAX_BATCH_SIZE} (the default); "
            "fewer where they take long",
        )
        parser.add_argument(
            "--max-seconds",
            type=_not_negative,
            metavar="S",
            help="begin no batch later than this after the start (default: no limit)",
        )
        parser.add_argument(
            "--sleep",
            type=_not_negative,
            metavar="S",
            help="seconds between two batches (default: in proportion to what the last one took)",
        )
        parser.add_argument(
            "--partition",
            type=_partition,
            metavar="NAME",
            help="one application only (default: all)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be removed, remove nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            store = get_store()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if not isinstance(store, UserSessionStoreCleanup):
            raise CommandError(
                f"{type(store).__name__} does not remove expired sessions: "
                "it is not a UserSessionStoreCleanup."
            )
        arguments: dict[str, Any] = {
            "partition": ANY if options["partition"] is None else options["partition"],
        }
        dry_run, quiet = options["dry_run"], options["verbosity"] == 0
        stop = threading.Event()
        started = time.monotonic()
        if dry_run:
            removed = store.delete_expired_sessions(dry_run=True, **arguments)
        else:
            with _stop_on_signals(stop), self._progress(store, arguments, quiet) as on_deleted:
                removed = store.delete_expired_sessions(
                    batch_size=options["batch_size"],
                    max_seconds=options["max_seconds"],
                    sleep=options["sleep"],
                    on_deleted=on_deleted,
                    with_tickets=False,
                    should_stop=stop.is_set,
                    **arguments,
                )
        if not quiet:
            verb = "would be removed" if dry_run else "removed"
            noun = "session" if removed == 1 else "sessions"
            early, limit = "", options["max_seconds"]
            if stop.is_set():
                early = " Stopped by a signal."
            elif not dry_run and limit is not None and time.monotonic() - started >= limit:
                left = store.delete_expired_sessions(dry_run=True, **arguments)
                early = f" Stopped by --max-seconds, {left} left." if left else ""
            self.stdout.write(f"{removed} expired {noun} {verb}.{early}")

    @contextmanager
    def _progress(
        self, store: UserSessionStoreCleanup, arguments: dict[str, Any], quiet: bool
    ) -> Iterator[Callable[[Sequence[DeletedSession]], None] | None]:
        """A progress bar where there is a terminal to show it and tqdm to draw it."""
        try:
            from tqdm import tqdm
        except ImportError:
            quiet = True
        if quiet or not self.stderr.isatty():
            yield None
            return
        total = store.delete_expired_sessions(dry_run=True, **arguments)
        # The stream itself: self.stderr ends and colours each write as a message of its own.
        stream: Any = self.stderr._out
        with tqdm(total=total, unit=" sessions", file=stream) as bar:

            def advance(deleted: Sequence[DeletedSession]) -> None:
                bar.update(len(deleted))

            yield advance


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the work between two batches."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Called from a test or a task: signals are not ours there.
        return
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _batch_size(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MAX_BATCH_SIZE:
        raise ArgumentTypeError(f"must be a number from 1 to {MAX_BATCH_SIZE}, not {text!r}")
    return number


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not (number >= 0 and math.isfinite(number)):
        raise ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text!r}")
    return number


def _partition(text: str) -> str:
    try:
        check_text("partition", text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text
