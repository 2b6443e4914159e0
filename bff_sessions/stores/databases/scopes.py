"""The scope of a database connection: which database and schema its alias stands for now."""

from __future__ import annotations

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
