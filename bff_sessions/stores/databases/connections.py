"""Give connections back before a pause."""

from __future__ import annotations

from django.db import connections


def close_connections() -> None:
    """Close the connections of this thread, or give them back to their pools.

    Those in a transaction stay open: they belong to a caller.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
