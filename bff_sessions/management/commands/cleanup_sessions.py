"""manage.py cleanup_sessions: remove expired sessions. Run it from cron."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from bff_sessions import conf
from bff_sessions.contract import (
    ANY,
    DeletedSession,
    UserSessionStoreCleanup,
    WithoutTickets,
    check_text,
)
from bff_sessions.events import Ending, hook_for
from bff_sessions.management.batchwork import batch_size, not_negative, progress, stop_on_signals
from bff_sessions.models import Logout, TakeOverBan
from bff_sessions.secret import hidden_frames
from bff_sessions.stores import get_store
from bff_sessions.stores.batches import MAX_BATCH_SIZE, delete_in_batches


class Command(BaseCommand):
    help = "Remove expired sessions, in short transactions. Several hosts may run it at once."
    # Their warnings would make cron write a mail each time.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--batch-size",
            type=batch_size,
            default=MAX_BATCH_SIZE,
            metavar="N",
            help=f"sessions in one transaction at most, 1 to {MAX_BATCH_SIZE} (the default); "
            "fewer where they take long",
        )
        parser.add_argument(
            "--max-seconds",
            type=not_negative,
            metavar="S",
            help="begin no batch later than this after the start (default: no limit)",
        )
        parser.add_argument(
            "--sleep",
            type=not_negative,
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

    @hidden_frames()
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
        try:
            self._clean_up(store, options)
        except NotImplementedError as error:
            raise CommandError(str(error)) from error

    def _clean_up(self, cleanup: UserSessionStoreCleanup, options: dict[str, Any]) -> None:
        dry_run, quiet = options["dry_run"], options["verbosity"] == 0
        partition = ANY if options["partition"] is None else options["partition"]
        max_seconds: float | None = options["max_seconds"]

        def count() -> int:
            return cleanup.delete_expired_sessions(dry_run=True, partition=partition)

        started = time.monotonic()

        with stop_on_signals() as stop:
            if dry_run:
                removed = count()
            else:
                # First what is little: after sessions that take all of the time, it would never be
                # removed.
                for delete_batch in _forgotten(cleanup):
                    delete_in_batches(
                        delete_batch,
                        batch_size=options["batch_size"],
                        max_seconds=max_seconds,
                        sleep=options["sleep"],
                        should_stop=stop.is_set,
                    )
                    if max_seconds is not None:
                        max_seconds = max(0.0, options["max_seconds"] - time.monotonic() + started)
                hook = hook_for(Ending.EXPIRED)
                # A store that was written before there was this argument gets it only if needed.
                more: dict[str, Any] = {} if hook is None else {"on_ending": hook}
                with progress(self, count, quiet=quiet) as advance:
                    removed = cleanup.delete_expired_sessions(
                        batch_size=options["batch_size"],
                        max_seconds=max_seconds,
                        sleep=options["sleep"],
                        partition=partition,
                        on_deleted=None if advance is None else _counting(advance),
                        should_stop=stop.is_set,
                        **more,
                    )
        if not quiet:
            verb = "would be removed" if dry_run else "removed"
            noun = "session" if removed == 1 else "sessions"
            early, limit = "", options["max_seconds"]
            if stop.is_set():
                early = " Stopped by a signal."
            elif not dry_run and limit is not None and time.monotonic() - started >= limit:
                left = count()
                early = f" Stopped by --max-seconds, {left} left." if left else ""
            self.stdout.write(f"{removed} expired {noun} {verb}.{early}")


def _forgotten(cleanup: UserSessionStoreCleanup) -> Iterator[Callable[[int], int]]:
    """Yield what deletes records of logouts and of ended sessions, a batch at a time."""
    if conf.PROVIDERS:
        yield Logout.objects.current().delete_expired
    using = getattr(cleanup, "using", None)
    if conf.TAKE_OVER is None and using is not None:
        bans = TakeOverBan.objects.using(using)
        if bans.filter(partition=conf.PARTITION).exists():
            yield partial(bans.delete_some, partition=conf.PARTITION)


def _counting(advance: Callable[[int], Any]) -> WithoutTickets:
    def on_deleted(deleted: Sequence[DeletedSession]) -> None:
        advance(len(deleted))

    return WithoutTickets(on_deleted)


def _partition(text: str) -> str:
    try:
        check_text("partition", text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text
