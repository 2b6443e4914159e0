"""Queries that a `Statement` compiles, built as querysets build theirs.

Undocumented API of django.db.models.sql, read in Django 5.2, 6.0 and 6.1: InsertQuery and
insert_values(), UpdateQuery and add_update_values(), DeleteQuery, Query.chain(). A queryset runs
these queries at once, and does not return them. `statements` says what that gains. compile_rows()
uses Query.get_compiler() and SQLCompiler.as_sql(): querysets have no GROUP BY over the first rows
of an order, and count only one range of an index at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.db.models import Field, Model, QuerySet
from django.db.models.sql import DeleteQuery, InsertQuery, Query, UpdateQuery

__all__ = ["Query", "compile_rows", "delete_query", "insert_query", "update_query"]


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


def compile_rows(rows: QuerySet[Any, Any]) -> tuple[str, Sequence[Any]]:
    """Return the SELECT of `rows`, and its parameters as the driver takes them."""
    sql, parameters = rows.query.get_compiler(rows.db).as_sql()
    return sql, parameters
