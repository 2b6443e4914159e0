"""Private API of django.db. Read in Django 5.2, 6.0 and 6.1."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

__all__ = ["delete_rows", "is_in_transaction"]


def delete_rows(rows: QuerySet[Any, Any]) -> int:
    """Delete `rows` in one statement. Return how many.

    If a receiver of pre_delete or post_delete listens to every model, QuerySet.delete() first reads
    all columns of all rows, tickets too.
    """
    # None if no row can match, so that Django runs no statement.
    deleted: int | None = rows._raw_delete(rows.db)
    return deleted or 0


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the caller has opened a transaction, other than one of a TestCase.

    atomic(durable=True) checks the same, but begins and ends a transaction: two statements.
    """
    blocks: list[Any] = connection.atomic_blocks
    return connection.in_atomic_block and not blocks[-1]._from_testcase
