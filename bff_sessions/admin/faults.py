"""Faults that a page of the admin answers in plain words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("bff_sessions.admin")


class SessionGone(Exception):
    """The session has expired or ended."""


class StoreFailed(Exception):
    """The store raised an error."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Log an error of the store, and raise `StoreFailed` instead."""
    try:
        yield
    except Exception as error:
        # Only the class, because the text may contain the address of the store with its password.
        logger.error("The store of sessions failed: %s", type(error).__name__)
        raise StoreFailed from error
