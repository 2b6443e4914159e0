"""Cursors: text for URLs that says where a page of sessions ended.

A cursor holds a moment and a tie-breaker. It holds no store key and no secret, and grants nothing.
Its checksum detects a cursor that was altered or that another store wrote. It is not a signature.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# The bytes of the checksum, and also of the moment after it.
_SIZE: Final = 8


class Position(NamedTuple):
    """The place of a session in the order of sign-ins. Positions compare in that order."""

    created: datetime
    """``UserSession.created``, to the microsecond."""
    tie: bytes
    """Orders sessions that have the same `created`. It never changes while the session lives."""


def write_cursor(store: str, position: Position) -> str:
    """Return the cursor of a page that ends with the session at `position`.

    Args:
        store: a name for the store; no other store reads the cursor.
    """
    moment = (position.created - _EPOCH) // _MICROSECOND
    content = moment.to_bytes(_SIZE, signed=True) + position.tie
    checksum = hashlib.sha256(f"bff_sessions cursor:{store}\0".encode() + content).digest()
    return urlsafe_b64encode(checksum[:_SIZE] + content).rstrip(b"=").decode()


def read_cursor(store: str, cursor: str) -> Position:
    """Return the position that write_cursor() was given.

    Raises:
        ValueError: if write_cursor() did not return `cursor` for `store`.
    """
    try:
        content = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[_SIZE:]
        moment = int.from_bytes(content[:_SIZE], signed=True)
        position = Position(_EPOCH + moment * _MICROSECOND, content[_SIZE:])
        # Base64 has several spellings of the same bytes: accept only the one that was written.
        is_valid = write_cursor(store, position) == cursor
    except (OverflowError, TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ValueError("cursor must be the next_cursor of a page of this store.")
    return position
