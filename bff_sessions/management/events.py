"""The events of the history as ``manage.py sessions history`` writes them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from django.core.management.base import CommandError

from bff_sessions.contract import ANY
from bff_sessions.history.reading import EventsFilter, is_installed, iterate_events

FIELDS: Final = (
    "moment",
    "what",
    "reason",
    "actor_kind",
    "actor_id",
    "subject_id",
    "issuer",
    "user_id",
    "partition",
    "public_id",
    "user_agent",
    "address",
)
COLUMNS: Final = ("moment", "what", "reason", "actor_id", "subject_id", "issuer", "user_agent")


def at_most(text: str) -> int:
    """Return the value of ``--limit``."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise ArgumentTypeError("must be a number of events, 0 or more")
    return int(text)


def find_events(options: dict[str, Any]) -> Iterator[dict[str, str | None]]:
    """Yield the values of the events that match the options, newest first.

    Raises:
        CommandError: if the site has no history.
    """
    if not is_installed():
        raise CommandError(
            "The history is not installed: add 'bff_sessions.history' to INSTALLED_APPS, and run "
            "'manage.py migrate'."
        )
    issuer = options["issuer"]
    filter = EventsFilter(
        subject_id=options["subject"],
        user_ids=[] if options["user"] is None else [options["user"]],
        issuer=None if options["local"] else ANY if issuer is None else issuer,
        partition=ANY if options["partition"] is None else options["partition"],
    )
    found = iterate_events(filter)
    return map(_to_dict, islice(found, options["limit"]))


def _to_dict(event: Any) -> dict[str, str | None]:
    values: dict[str, Any] = {name: getattr(event, name) for name in FIELDS}
    return values | {"moment": event.moment.isoformat(timespec="seconds")}
