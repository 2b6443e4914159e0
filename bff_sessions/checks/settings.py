"""System checks of each setting in BFF_SESSIONS."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.checks.stores import CACHE_SETTINGS
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.guesses import closest, with_guess
from bff_sessions.identity import is_claims_key

_NO_DICTIONARY = Fault(
    "E002",
    "BFF_SESSIONS must be a dictionary; it is of type {type}.",
    "Write BFF_SESSIONS = {{'PARTITION': 'shop'}}, for example.",
)
_UNKNOWN = Fault("E003", "BFF_SESSIONS has no setting {name!r:.120}.", "Use one of {names}.")
_MISSPELT = Fault(
    "W012",
    "{name} has no effect: the setting of bff_sessions is the dictionary BFF_SESSIONS.",
    "Rename it to BFF_SESSIONS, or write the value into BFF_SESSIONS under its own name.",
)


def is_dictionary() -> bool:
    """Return whether BFF_SESSIONS is a dictionary or missing."""
    return isinstance(getattr(settings, "BFF_SESSIONS", {}), dict)


def check_settings() -> Iterator[CheckMessage]:
    given = getattr(settings, "BFF_SESSIONS", {})
    for name in filter(_is_misspelt, dir(settings)):
        yield _MISSPELT(name=name)
    if not is_dictionary():
        yield _NO_DICTIONARY(type=type(given).__name__)
        return
    for name in given:
        if name not in conf.SETTINGS:
            message = _UNKNOWN(name=name, names=", ".join(sorted(conf.SETTINGS)))
            yield with_guess(message, name, conf.SETTINGS)
    for name, setting in conf.SETTINGS.items():
        if name not in CACHE_SETTINGS:
            yield from setting.find_faults(conf.place_of(name), getattr(conf, name))
    if not is_claims_key(conf.CLAIMS_KEY):
        yield conf.SETTINGS["CLAIMS_KEY"].refuse(conf.place_of("CLAIMS_KEY"), conf.CLAIMS_KEY)


def _is_misspelt(name: str) -> bool:
    """Return whether a setting of Django was meant to be BFF_SESSIONS, or to be in it."""
    if name.startswith("BFF_SESSIONS_"):
        return name.removeprefix("BFF_SESSIONS_") in conf.SETTINGS
    return name != "BFF_SESSIONS" and closest(name, ["BFF_SESSIONS"], likeness=0.9) is not None
