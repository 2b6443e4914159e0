"""manage.py cleanup_sessions: delete expired sessions. Run it from cron."""

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
    UserSessionStore,
    UserSessionStoreCleanup,
    UserSessionStoreRepair,
    check_text,
)
from bff_sessions.contract.pacing import MAX_BATCH_SIZE, delete_in_batches
from bff_sessions.exceptions import AbilityMissing, StoreUnavailable
from bff_sessions.history import reading as history
from bff_sessions.management.batchwork import batch_size, not_negative, progress, stop_on_signals
from bff_sessions.oidc.models import Logout
from bff_sessions.revocation.cleaning import delete_expired_sessions
from bff_sessions.revocation.endings import finish_deletes
from bff_sessions.revocation.models import TakeOverBan
from bff_sessions.sansio import run
from bff_sessions.secret import hidden_frames
from bff_sessions.stores import database_of_store, get_store


class Command(BaseCommand):
    help = "Delete expired sessions in short transactions. Several hosts may run it at once."
    # A warning of a check would make cron send a mail each time.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--batch-size",
            type=batch_size,
            default=MAX_BATCH_SIZE,
            metavar="N",
            help=f"sessions in one transaction at most, 1 to {MAX_BATCH_SIZE} (the default); "
            "fewer if they take long",
        )
        parser.add_argument(
            "--max-seconds",
            type=not_negative,
            metavar="S",
            help="begin no batch later than S seconds after the start (default: no limit)",
        )
        parser.add_argument(
            "--sleep",
            type=not_negative,
            metavar="S",
            help="seconds between two batches (default: in proportion to the last batch's time)",
        )
        parser.add_argument(
            "--partition",
            type=_partition,
            metavar="NAME",
            help="only sessions of this application (default: all)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count the sessions, and delete nothing"
        )

    @hidden_frames()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            store = get_store()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        try:
            self._clean_up(store, options)
        except StoreUnavailable as error:
            raise CommandError(str(error)) from None

    def _clean_up(self, store: UserSessionStore, options: dict[str, Any]) -> None:
        cleanup: UserSessionStoreCleanup | None
        try:
            cleanup, without_cleanup = store.require_ability(UserSessionStoreCleanup), ""
        except AbilityMissing as missing:
            cleanup, without_cleanup = None, missing.store_class.__name__
        dry_run, quiet = options["dry_run"], options["verbosity"] == 0
        partition = ANY if options["partition"] is None else options["partition"]
        max_seconds: float | None = options["max_seconds"]

        def count() -> int:
            if cleanup is None:
                return 0
            return cleanup.delete_expired_sessions(dry_run=True, partition=partition)

        started = time.monotonic()

        with stop_on_signals() as stop:
            deleted = count() if dry_run else 0
            if not dry_run:
                # Small tables first: sessions could take all of the time each time.
                for delete_batch in _others():
                    delete_in_batches(
                        delete_batch,
                        batch_size=options["batch_size"],
                        max_seconds=max_seconds,
                        sleep=options["sleep"],
                        should_stop=stop.is_set,
                    )
                    if max_seconds is not None:
                        max_seconds = max(0.0, options["max_seconds"] - time.monotonic() + started)
                repair = store.get_ability(UserSessionStoreRepair)
                if repair is not None:
                    run(finish_deletes(repair))
            if not dry_run and cleanup is not None:
                with progress(self, count, quiet=quiet) as advance:
                    steps = delete_expired_sessions(
                        cleanup,
                        batch_size=options["batch_size"],
                        max_seconds=max_seconds,
                        sleep=options["sleep"],
                        partition=partition,
                        on_deleted=None if advance is None else _counting(advance),
                        should_stop=stop.is_set,
                    )
                    deleted = run(steps)
        if not quiet and cleanup is None:
            self.stdout.write(
                f"{without_cleanup} deletes expired sessions by itself."
                + ("" if dry_run else " The other clean-up is done.")
            )
        elif not quiet:
            verb = "would be deleted" if dry_run else "deleted"
            noun = "session" if deleted == 1 else "sessions"
            early, limit = "", options["max_seconds"]
            if stop.is_set():
                early = " Stopped by a signal."
            elif not dry_run and limit is not None and time.monotonic() - started >= limit:
                left = count()
                early = f" Stopped by --max-seconds, {left} left." if left else ""
            self.stdout.write(f"{deleted} expired {noun} {verb}.{early}")


def _others() -> Iterator[Callable[[int], int]]:
    """Yield functions that delete a batch of old events, old logouts, or bans of no more use."""
    if history.is_installed():
        yield history.delete_old
    if conf.PROVIDERS:
        yield Logout.objects.current().delete_expired
    using = database_of_store()
    if conf.TAKE_OVER is None and using is not None:
        bans = TakeOverBan.objects.using(using)
        if bans.filter(partition=conf.PARTITION).exists():
            yield partial(bans.delete_some, partition=conf.PARTITION)


def _counting(advance: Callable[[int], Any]) -> Callable[[Sequence[DeletedSession]], None]:
    def on_deleted(deleted: Sequence[DeletedSession]) -> None:
        advance(len(deleted))

    return on_deleted


def _partition(text: str) -> str:
    try:
        check_text("partition", text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text
