"""The scope of a database connection: which database and schema its alias stands for now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from bff_sessions._compat.django_db import name_of_database


def scope_of(using: str) -> str:
    """Return alias, database and schema of the connection `using`, without connecting.

    django-tenants and django-tenant-schemas name the current schema in ``schema_name``. Other
    libraries set ``settings_dict["NAME"]`` to switch an alias to another database.
    """
    connection = connections[using]
    schema = getattr(connection, "schema_name", None) or ""
    return f"{using}\0{name_of_database(connection)}\0{schema}"


def differs_in_schema(scope: str, other: str) -> bool:
    """Return whether in_schema() brings a thread whose scope is `other` to `scope`."""
    (*place, schema), (*other_place, other_schema) = _split(scope), _split(other)
    if not (schema and other_schema and place == other_place):
        return False
    return callable(getattr(connections[place[0]], "set_schema", None))


@contextmanager
def in_schema(scope: str) -> Iterator[None]:
    """Let the connection of this thread use the schema of `scope` in the block.

    django-tenants and django-tenant-schemas switch the schema by ``set_schema()``, which runs no
    statement. Without them, and in the scope of a store that has no database, this does nothing.
    """
    using, _, schema = _split(scope)
    connection: Any = connections[using] if schema else None
    before = getattr(connection, "schema_name", None)
    if before in (None, schema):
        yield
        return
    connection.set_schema(schema)
    try:
        yield
    finally:
        connection.set_schema(before)


def _split(scope: str) -> tuple[str, str, str]:
    """Return alias, database and schema of `scope`; empty ones if it is not of scope_of()."""
    parts = scope.split("\0")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", "")
