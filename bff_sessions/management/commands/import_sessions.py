"""manage.py import_sessions: move the sessions of the previous session engine here."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.engine.take_over import NotMoved, OldEngine
from bff_sessions.management.batchwork import batch_size, progress, stop_on_signals
from bff_sessions.secret import hidden_frames

_DJANGOS = "django.contrib.sessions.backends.db"


class Command(BaseCommand):
    help = (
        "Move the live sessions of the previous session engine here, so that their cookies work. "
        "If it is stopped, run it again to move the rest."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="engine",
            default=conf.TAKE_OVER or _DJANGOS,
            metavar="ENGINE",
            help="dotted path of the previous engine (default: TAKE_OVER, or Django's own)",
        )
        parser.add_argument(
            "--batch-size",
            type=batch_size,
            default=200,
            metavar="N",
            help="sessions in one transaction (default: 200)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count the sessions, and move nothing"
        )

    @hidden_frames()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            engine = OldEngine(options["engine"])
            is_empty = not engine.count()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except DatabaseError:
            raise CommandError(
                f"The table of {options['engine']!r} cannot be read: it does not exist, or the "
                "database cannot be reached. Name the engine that was used before with --from."
            ) from None
        dry_run, quiet = options["dry_run"], options["verbosity"] == 0
        moved, skipped = 0, Counter[str]()
        with stop_on_signals() as stop, progress(self, engine.count, quiet=quiet) as advance:
            for batch in engine.batches(options["batch_size"]):
                pairs = list(_to_rows(engine, batch, skipped))
                moved += (_count if dry_run else _move)(engine, pairs, skipped)
                if advance:
                    advance(len(batch))
                if stop.is_set():
                    break
        if not quiet:
            verb = "would be moved" if dry_run else "moved"
            noun = "session" if moved == 1 else "sessions"
            reasons = ", ".join(f"{reason} ({count})" for reason, count in skipped.most_common())
            left = f" Not moved: {reasons}." if reasons else ""
            early = " Stopped by a signal; run it again for the rest." if stop.is_set() else ""
            self.stdout.write(f"{moved} {noun} {verb}.{left}{early}")
            if advice := _advise(options, moved=moved, is_empty=is_empty):
                self.stdout.write(advice)


def _advise(options: dict[str, Any], *, moved: int, is_empty: bool) -> str:
    """Return what to do next."""
    engine = options["engine"]
    if is_empty:
        text = f"The table of {engine!r} is empty."
        return f"{text} If you used another engine before, name it with --from."
    if not moved:
        return f"No other session in the table of {engine!r} can move."
    if options["dry_run"]:
        return "Run it without --dry-run to move them."
    if engine == conf.TAKE_OVER:
        return (
            "When no host runs the previous engine any more, run it again, and then leave out "
            "BFF_SESSIONS['TAKE_OVER']."
        )
    return (
        "Sessions that a host with the previous engine writes from now on are not moved: run it "
        f"again, or set BFF_SESSIONS['TAKE_OVER'] = {engine!r}."
    )


Pairs = list[tuple[AbstractBaseSession, UserSession]]


def _to_rows(
    engine: OldEngine, batch: Sequence[AbstractBaseSession], skipped: Counter[str]
) -> Iterator[tuple[AbstractBaseSession, UserSession]]:
    for old in batch:
        try:
            yield old, engine.to_session(old)
        except NotMoved as reason:
            skipped[str(reason)] += 1


def _count(engine: OldEngine, pairs: Pairs, skipped: Counter[str]) -> int:
    """Return how many _move() would move."""
    banned = engine.banned(row for _old, row in pairs)
    if banned:
        skipped["signed out"] += len(banned)
    return len(pairs) - len(banned)


def _move(engine: OldEngine, pairs: Pairs, skipped: Counter[str]) -> int:
    try:
        moved = engine.move(pairs)
        if len(pairs) > moved:
            # A request changed them. Their next request or the next run moves them.
            skipped["changed meanwhile"] += len(pairs) - moved
        return moved
    except NotMoved as reason:
        if len(pairs) > 1:  # One of them may keep the others from moving.
            half = len(pairs) // 2
            return _move(engine, pairs[:half], skipped) + _move(engine, pairs[half:], skipped)
        skipped[str(reason)] += 1
        return 0
