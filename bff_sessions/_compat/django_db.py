"""Private and undocumented API of django.db. Read in Django 5.2, 6.0 and 6.1."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet


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


def in_atomic_block(using: str) -> bool:
    """Return whether a transaction is open, also one of a TestCase.

    transaction.get_autocommit() connects to the database.
    """
    return connections[using].in_atomic_block


def commits_each_statement(using: str) -> bool:
    """Return whether a statement is committed at once, without connecting.

    transaction.get_autocommit() connects to the database, which may be what fails.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        return False
    if connection.connection is None:
        return bool(connection.settings_dict["AUTOCOMMIT"])
    return bool(connection.autocommit)


def name_of_database(connection: BaseDatabaseWrapper) -> str:
    """Return the NAME of the database, without connecting.

    Libraries for several tenants set it on the connection, and not in settings.DATABASES.
    """
    return str(connection.settings_dict["NAME"])


def close_unusable_connection(using: str) -> None:
    """Close the connection if it is broken or too old.

    django.db.close_old_connections() closes those of all databases.
    """
    connections[using].close_if_unusable_or_obsolete()
