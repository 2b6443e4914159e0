"""Statements that the ORM compiles once for each connection, and that run many times.

Building and compiling a query takes Django longer than most databases take to answer it. The few
statements of a session never change. The ORM still makes them: the model names table and columns,
the compiler writes SQL for the database, and the fields convert all values. Only the result is
kept.

Private API of django.db.models.sql, read in Django 5.2, 6.0 and 6.1: Query.get_compiler(),
SQLCompiler.as_sql(), .select and .get_converters(), InsertQuery.insert_values(),
UpdateQuery.add_update_values(), Query.chain(), Field.get_placeholder() and its successor. A load
takes a seventh of the processor time, and a save half of it; see `python -m benchmarks`.
BFF_SESSIONS_PLAIN_STATEMENTS=1 in the environment runs the plain querysets instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models.expressions import Expression
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

from bff_sessions.contract import can_be_kept

IS_PLAIN = os.environ.get("BFF_SESSIONS_PLAIN_STATEMENTS") == "1"

# The attribute of a connection that holds its compiled statements, so that both end together.
_ATTRIBUTE = "_bff_sessions_compiled"


class Slot(Expression):
    """Stands in a query for a value that is known only when the statement runs.

    It compiles to a named placeholder whose parameter is the slot itself. Django converts named
    placeholders to SQLite's style without a scan of the whole statement.

    Args:
        name: the name of the value in the keyword arguments of `Statement.execute()`.
        field: converts the value for the database.
    """

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    @property
    def prepare(self) -> Callable[[Any, BaseDatabaseWrapper], Any]:
        """A function that returns a value as the database accepts it."""
        # The field's own: a function around it would run for each value of each statement.
        return self.output_field.get_db_prep_value

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        return _placeholder(self.output_field, compiler, connection) % f"%({self.name})s", (self,)


def _placeholder(field: Any, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> str:
    """Return the placeholder for a value of `field`. MySQL needs a mark to read it as bytes."""
    # Any value but None gives the same placeholder. Django 6.1 renamed the method, which returns
    # parameters, too.
    if hasattr(field, "get_placeholder_sql"):
        sql: str = field.get_placeholder_sql(b"", compiler, connection)[0]
        return sql
    if hasattr(field, "get_placeholder"):
        sql = field.get_placeholder(b"", compiler, connection)
        return sql
    return "%s"


class KeySlot(Slot):
    """Stands in a WHERE clause for text from outside, which some databases refuse."""

    @property
    def prepare(self) -> Callable[[Any, BaseDatabaseWrapper], Any]:
        return _refuse_or_take


def _refuse_or_take(value: Any, connection: BaseDatabaseWrapper) -> Any:
    if not can_be_kept(value):
        raise EmptyResultSet  # No row can have this value.
    return value


class Statement:
    """One SELECT, INSERT, UPDATE or DELETE.

    Args:
        build: returns the query, with a `Slot` for each value; called once for a connection.
        plain: runs the same through public API; returns a row or the number of rows.
    """

    def __init__(self, build: Callable[[], Query], plain: Callable[..., Any]) -> None:
        self._build = build
        self._plain = plain

    def execute(self, using: str, **values: Any) -> int:
        """Run the statement on the database `using`. Return how many rows it changed."""
        if IS_PLAIN:
            return int(self._plain(using, **values))
        connection = connections[using]
        compiled = self._compile(connection)
        try:
            parameters = compiled.parameters(values)
        except EmptyResultSet:
            return 0
        # As Model.save() does: after a failure the transaction can only be rolled back.
        with transaction.mark_for_rollback_on_error(using), _cursor(connection) as cursor:
            cursor.execute(compiled.sql, parameters)
            return int(cursor.rowcount)

    def fetch(self, using: str, **values: Any) -> dict[str, Any] | None:
        """Run the statement on the database `using`. Return the first row in Python values."""
        if IS_PLAIN:
            found: dict[str, Any] | None = self._plain(using, **values)
            return found
        connection = connections[using]
        compiled = self._compile(connection)
        try:
            parameters = compiled.parameters(values)
        except EmptyResultSet:
            return None
        with _cursor(connection) as cursor:
            cursor.execute(compiled.sql, parameters)
            row = cursor.fetchone()
        return None if row is None else compiled.to_python(row)

    def _compile(self, connection: BaseDatabaseWrapper) -> _Compiled:
        kept: dict[Statement, _Compiled] = connection.__dict__.setdefault(_ATTRIBUTE, {})
        compiled = kept.get(self)
        if compiled is None:
            compiled = kept[self] = _Compiled(self._build(), connection)
        return compiled


def _cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    if connection.vendor != "postgresql":
        return connection.cursor()
    # Imported here, because it needs the driver.
    from bff_sessions._compat.psycopg import open_cursor

    return open_cursor(connection)


class _Compiled:
    def __init__(self, query: Query, connection: BaseDatabaseWrapper) -> None:
        compiler = query.get_compiler(connection=connection)
        statement = compiler.as_sql()
        # An INSERT of many rows may compile to several statements; ours adds one row.
        [(self.sql, parameters)] = statement if isinstance(statement, list) else [statement]
        self._connection = connection
        self._slots = [(slot.name, slot.prepare) for slot in parameters]
        columns = [column for column, *_ in compiler.select or ()]
        self._names = [column.target.attname for column in columns]
        # The functions of fields and database that convert a value from the database.
        self._converters = [
            (self._names[index], convert, expression)
            for index, (converts, expression) in compiler.get_converters(columns).items()
            for convert in converts
        ]

    def parameters(self, values: dict[str, Any]) -> dict[str, Any]:
        connection = self._connection
        return {name: convert(values[name], connection) for name, convert in self._slots}

    def to_python(self, row: Sequence[Any]) -> dict[str, Any]:
        values = dict(zip(self._names, row, strict=True))
        for name, convert, expression in self._converters:
            values[name] = convert(values[name], expression, self._connection)
        return values
