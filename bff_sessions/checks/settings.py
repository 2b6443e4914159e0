"""System checks of each setting in BFF_SESSIONS."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.checks.stores import CACHE_SETTINGS
from bff_sessions.conf.faults import Fault
from bff_sessions.identity import is_claims_key

__all__ = ["check_settings", "is_dictionary"]

_NO_DICTIONARY = Fault(
    "E002",
    "BFF_SESSIONS must be a dictionary; it is of type {type}.",
    "Write BFF_SESSIONS = {{'PARTITION': 'shop'}}, for example.",
)
_UNKNOWN = Fault("E003", "BFF_SESSIONS has no setting {name!r:.120}.", "Use one of {names}.")


def is_dictionary() -> bool:
    """Return whether BFF_SESSIONS is a dictionary or missing."""
    return isinstance(getattr(settings, "BFF_SESSIONS", {}), dict)


def check_settings() -> Iterator[CheckMessage]:
    given = getattr(settings, "BFF_SESSIONS", {})
    if not is_dictionary():
        yield _NO_DICTIONARY(type=type(given).__name__)
        return
    for name in given:
        if name not in conf.SETTINGS:
            yield _UNKNOWN(name=name, names=", ".join(sorted(conf.SETTINGS)))
    for name, setting in conf.SETTINGS.items():
        if name not in CACHE_SETTINGS:
            yield from setting.find_faults(conf.place_of(name), getattr(conf, name))
    if not is_claims_key(conf.CLAIMS_KEY):
        yield conf.SETTINGS["CLAIMS_KEY"].refuse(conf.place_of("CLAIMS_KEY"), conf.CLAIMS_KEY)
