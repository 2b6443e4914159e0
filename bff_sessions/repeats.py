"""Decide at which level a fault is logged that many requests meet.

During an outage every request fails, and anybody can send requests. An operator who gets a mail for
each line of level ERROR must get a few, and not thousands.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from django.core.signals import setting_changed

# Seconds after which a fault is news again.
_QUIET: Final = 600.0
# Faults of one logger that are news within that time. Their texts may quote what a request names.
_MOST: Final = 10
# The moment at which each fault is news again, by its logger and its name.
_known: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def error_level(logger: logging.Logger, fault: object) -> int:
    """Return ``logging.ERROR`` if `fault` is news, and ``logging.INFO`` for the next ten minutes.

    Each process decides for itself.

    Args:
        logger: the logger that gets the line.
        fault: an error or a text. The first sentence names the fault.
    """
    name, now = str(fault).partition(". ")[0], time.monotonic()
    with _lock:
        for each in [each for each, end in _known.items() if end <= now]:
            del _known[each]
        of_logger = sum(each[0] == logger.name for each in _known)
        if (logger.name, name) in _known or of_logger >= _MOST:
            return logging.INFO
        _known[logger.name, name] = now + _QUIET
        return logging.ERROR


def _forget(**kwargs: Any) -> None:
    with _lock:
        _known.clear()


# A changed setting may fix a fault or cause it again.
setting_changed.connect(_forget, dispatch_uid="bff_sessions.repeats")
