"""manage.py sessions: find and end sessions from a terminal, and check that they work."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from bff_sessions.contract import (
    Actor,
    ActorKind,
    EndReason,
    UserSession,
    UserSessionsFilter,
    UserSessionStoreRepair,
)
from bff_sessions.exceptions import AbilityMissing, StoreUnavailable
from bff_sessions.findings import Verdict
from bff_sessions.health import examine
from bff_sessions.management.events import COLUMNS as EVENT_COLUMNS
from bff_sessions.management.events import at_most, find_events
from bff_sessions.management.selecting import guess, selecting, to_filter
from bff_sessions.management.tables import to_a_pipe, to_text, write_array, write_rows
from bff_sessions.management.verdicts import to_dict, to_line
from bff_sessions.revocation import revoke_sessions
from bff_sessions.secret import hidden_frames
from bff_sessions.stores import get_store
from bff_sessions.stores.live import iterate_live_sessions

# Neither store key nor ticket, in any output.
_FIELDS: Final = (
    "public_id",
    "subject_id",
    "session_id",
    "issuer",
    "user_id",
    "partition",
    "created",
    "renewed",
    "expires",
)
# Sessions that `end` shows before it asks.
_SHOWN: Final = 100
_COLUMNS: Final = ("subject_id", "session_id", "issuer", "user_id", "partition", "renewed")


class Command(BaseCommand):
    help = "Find sessions by subject, session ID or user, end them, and check that they work."
    # A warning of a check would mix with the output of --json.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        whose, which = selecting()
        verbs.add_parser("list", parents=[which], help="a line for each live session")
        verbs.add_parser("show", parents=[which], help="all fields of each live session")
        end = verbs.add_parser("end", parents=[which], help="end the sessions, expired or not")
        end.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        history = verbs.add_parser(
            "history", parents=[whose], help="what has happened to sessions, newest first"
        )
        history.add_argument("--limit", type=at_most, metavar="N", help="at most N events")
        verbs.add_parser("reindex", help="rebuild the index of the sessions in Redis")
        check = verbs.add_parser("doctor", help="check that sessions work on this host")
        check.add_argument("--json", action="store_true", help="write JSON")

    @hidden_frames()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["verb"] == "reindex":
                self._reindex(options)
            elif options["verb"] == "history":
                self._write_events(options)
            elif options["verb"] == "doctor":
                self._examine(options)
            else:
                self._find(options)
        except (AbilityMissing, ImproperlyConfigured, StoreUnavailable) as error:
            raise CommandError(str(error)) from None

    def _reindex(self, options: dict[str, Any]) -> None:
        number = get_store().require_ability(UserSessionStoreRepair).reindex_sessions()
        if options["verbosity"]:
            self.stdout.write(f"{number} {'session' if number == 1 else 'sessions'} indexed.")

    def _examine(self, options: dict[str, Any]) -> None:
        findings = []
        for finding in examine(ask_providers=True):
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(to_line(finding, self.style))
        if options["json"]:
            self.stdout.write(json.dumps([*map(to_dict, findings)], indent=2))
        faulty = [each.subject for each in findings if each.verdict is Verdict.FAULT]
        if faulty:
            raise CommandError(f"Faults were found: {', '.join(dict.fromkeys(faulty))}.")

    def _find(self, options: dict[str, Any]) -> None:
        try:
            filter = to_filter(options)
        except ValueError as error:
            raise CommandError(str(error)) from None
        found = iterate_live_sessions(filter)
        if options["verb"] == "end":
            self._end(filter, found, options)
            return
        first = list(islice(found, 1))
        with to_a_pipe(self.stdout):
            self._write(chain(first, found), options)
        # To stderr, because scripts read the output.
        if not first and options["verbosity"]:
            self.stderr.write(f"No live session matches.{guess(options)}")

    def _write(self, found: Iterator[UserSession], options: dict[str, Any]) -> None:
        if options["json"]:
            write_array(self.stdout, map(_to_dict, found))
        elif options["verb"] == "show":
            for session in found:
                for name, value in _to_dict(session).items():
                    self.stdout.write(f"{name:<11} {to_text(value)}")
                self.stdout.write("")
        else:
            self._write_table(found)

    def _write_events(self, options: dict[str, Any]) -> None:
        found = find_events(options)
        first = list(islice(found, 1))
        with to_a_pipe(self.stdout):
            if options["json"]:
                write_array(self.stdout, chain(first, found))
            else:
                write_rows(self.stdout, chain(first, found), EVENT_COLUMNS)
        if not first and options["verbosity"]:
            self.stderr.write("No event matches.")

    def _end(
        self, filter: UserSessionsFilter, found: Iterator[UserSession], options: dict[str, Any]
    ) -> None:
        if not options["yes"]:
            self._ask(found)
        ended = revoke_sessions(filter, reason=EndReason.OPERATOR, actor=_actor())
        if options["json"]:
            self.stdout.write(json.dumps({"ended": ended}, indent=2))
        elif options["verbosity"]:
            self.stdout.write(f"{ended} {'session' if ended == 1 else 'sessions'} ended.")
        if not ended and options["verbosity"]:
            self.stderr.write(f"No live session matches.{guess(options)}")

    def _ask(self, found: Iterator[UserSession]) -> None:
        """Ask whether to end the sessions, if there are several.

        Raises:
            CommandError: unless the answer is yes.
        """
        shown = list(islice(found, _SHOWN))
        more = sum(1 for _ in found)
        if len(shown) < 2:
            return
        # To stderr, because a pipe must get the result only.
        self._write_table(shown, to=self.stderr)
        if more:
            self.stderr.write(f"... and {more} more.")
        try:
            self.stderr.write(f"End these {len(shown) + more} sessions? [y/N] ", ending="")
            self.stderr.flush()
            answer = input()
        except EOFError:
            raise CommandError(
                "Cannot ask for confirmation without a terminal: give --yes."
            ) from None
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("No session was ended.")

    def _write_table(self, sessions: Iterable[UserSession], to: Any = None) -> None:
        write_rows(to or self.stdout, map(_to_dict, sessions), _COLUMNS)


def _actor() -> Actor | None:
    """Return the user who runs the command; None if the operating system has no name for them."""
    try:
        return Actor(ActorKind.COMMAND, getpass.getuser())
    except (ImportError, KeyError, OSError, ValueError):  # Only OSError since Python 3.13.
        return None


def _to_dict(session: UserSession) -> dict[str, str | None]:
    values = {name: getattr(session, name) for name in _FIELDS}
    return {
        name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
        for name, value in values.items()
    }
