"""Queries that a `Statement` compiles, built as querysets build theirs.

Undocumented API of django.db.models.sql, read in Django 5.2, 6.0 and 6.1: InsertQuery and
insert_values(), UpdateQuery and add_update_values(), DeleteQuery, Query.chain(). A queryset runs
these queries at once, and does not return them. `statements` says what that gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.db.models import Field, Model
from django.db.models.sql import DeleteQuery, InsertQuery, Query, UpdateQuery

__all__ = ["Query", "delete_query", "insert_query", "update_query"]


def insert_query(row: Model, fields: Sequence[Field[Any, Any]]) -> Query:
    """Return the INSERT of `fields` of `row`."""
    query = InsertQuery(type(row))
    query.insert_values(fields, [row], raw=True)
    return query


def update_query(matching: Query, values: dict[str, Any]) -> Query:
    """Return the UPDATE of the rows that `matching` selects."""
    query = cast(UpdateQuery, matching.chain(UpdateQuery))
    query.add_update_values(values)
    return query


def delete_query(matching: Query) -> Query:
    """Return the DELETE of the rows that `matching` selects."""
    return matching.chain(DeleteQuery)
