"""manage.py revoke_tokens: ask providers to revoke the refresh tokens of ended sessions."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from bff_sessions.management.batchwork import not_negative, stop_on_signals
from bff_sessions.management.extras import require_oidc
from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.oidc.registrations import known_registrations
from bff_sessions.secret import hidden_frames


class Command(BaseCommand):
    help = (
        "Send the refresh tokens of ended sessions to their providers, to be revoked. "
        "Several hosts may run it at once. It fails if a token is given up."
    )
    # A warning of a check would make cron send a mail each time.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--max-seconds",
            type=not_negative,
            metavar="S",
            help="send no token later than S seconds after the start (default: no limit)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count the tokens, and send nothing"
        )

    @hidden_frames()
    def handle(self, *args: Any, **options: Any) -> None:
        rows = TokenRevocation.objects.current()
        quiet, early = options["verbosity"] == 0, ""
        if options["dry_run"]:
            if not quiet:
                self.stdout.write(f"{_tokens(rows.due().count())} would be sent.")
            return
        require_oidc()
        from bff_sessions.oidc.token_revocation.sending import Outcome, send

        try:
            known_registrations()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        with stop_on_signals() as stop:
            outcomes: Counter[Outcome] = send(
                rows, max_seconds=options["max_seconds"], should_stop=stop.is_set
            )
        if not quiet:
            counts = [_tokens(outcomes[Outcome.REVOKED]) + " revoked"]
            counts += [
                f"{outcomes[outcome]} {outcome.value}"
                for outcome in Outcome
                if outcomes[outcome] and outcome not in (Outcome.REVOKED, Outcome.TAKEN)
            ]
            if stop.is_set():
                early = " Stopped by a signal."
            elif options["max_seconds"] is not None and (left := rows.due().count()):
                early = f" Stopped by --max-seconds, {left} left."
            self.stdout.write(f"{', '.join(counts)}.{early}")
        if outcomes[Outcome.GIVEN_UP]:
            raise CommandError(f"{_tokens(outcomes[Outcome.GIVEN_UP])} given up; the log says why.")


def _tokens(count: int) -> str:
    return f"{count} refresh token{'' if count == 1 else 's'}"
