"""The databases to measure on: SQLite, and each server that the environment names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["SERVERS", "named_databases", "temporary_database"]

# The same variables as for `python -m tests`.
SERVERS = {"PostgreSQL": "TEST_POSTGRESQL_URL", "MariaDB": "TEST_MARIADB_URL"}


@contextmanager
def named_databases(chosen: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Yield name and URL of each database, or of the `chosen` ones, in any case."""
    wanted = {name.lower() for name in chosen}
    # Not in a temporary folder, which may be in memory, where writes cost nothing.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=".") as folder:
        urls = {"SQLite": f"sqlite:///{os.path.abspath(folder)}/db"}  # noqa: PTH100
        urls |= {name: os.environ[url] for name, url in SERVERS.items() if os.environ.get(url)}
        if unknown := wanted - {name.lower() for name in urls}:
            raise SystemExit(
                f"Cannot measure on these databases: {', '.join(sorted(unknown))}. "
                f"Name servers with {' and '.join(SERVERS.values())}."
            )
        yield {name: url for name, url in urls.items() if not wanted or name.lower() in wanted}


@contextmanager
def temporary_database() -> Iterator[str]:
    """Create the database of this process's settings, with its tables; drop it at the end."""
    # Django's test runner creates databases of each kind in this way.
    from django.db import connection

    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield connection.settings_dict["NAME"]
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
