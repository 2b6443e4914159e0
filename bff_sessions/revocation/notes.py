"""Notes that say why a session was ended, for the page on which its user signs in again.

Django's cache keeps them for a day, under a digest of the store key: only a browser that has the
old cookie can ask for one. Without a cache that all processes share, the text is a neutral one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from django.core.cache import cache

from bff_sessions.contract import EndReason

logger = logging.getLogger("bff_sessions.revocation")

_KEPT: Final = 24 * 60 * 60  # seconds
_PREFIX: Final = "bff_sessions.ended.1."
# The reasons that a user does not know. Other ends need no write to the cache.
_NOTED: Final = frozenset({EndReason.OTHER_BROWSER, EndReason.OPERATOR, EndReason.PROVIDER})


def is_noted(reason: EndReason) -> bool:
    """Return whether the sign-in page has a sentence for `reason`."""
    return reason in _NOTED


def write_notes(keys: Collection[str], reason: EndReason) -> None:
    """Note why the sessions under the store keys `keys` have ended."""
    try:
        cache.set_many({_name_of(key): reason.value for key in keys}, _KEPT)
    except Exception as error:
        # Only the class: the text may contain the address of the cache with its password.
        logger.warning("The cache did not store why a session has ended: %s", type(error).__name__)


def read_note(key: str) -> EndReason | None:
    """Return why the session under the store key `key` has ended; None if it is not known."""
    try:
        value = cache.get(_name_of(key))
    except Exception as error:
        logger.warning("The cache did not return why a session has ended: %s", type(error).__name__)
        return None
    return _to_reason(value)


def read_notes(keys: Collection[str]) -> dict[str, EndReason]:
    """Return why the sessions under the store keys `keys` have ended, as far as it is known."""
    names = {_name_of(key): key for key in keys}
    try:
        found = cache.get_many(names)
    except Exception as error:
        logger.warning("The cache did not return why a session has ended: %s", type(error).__name__)
        return {}
    reasons = {names[name]: _to_reason(value) for name, value in found.items()}
    return {key: reason for key, reason in reasons.items() if reason is not None}


def _to_reason(value: object) -> EndReason | None:
    with suppress(ValueError):
        return EndReason(value)
    return None


def _name_of(key: str) -> str:
    return _PREFIX + hashlib.sha256(b"bff_sessions ended:" + key.encode()).hexdigest()
