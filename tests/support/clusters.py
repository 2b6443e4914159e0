"""Fixtures: clusters of database servers, which start when the first test needs them.

With TEST_CLUSTERS=1 in the environment, software that is not installed is a failure. Otherwise the
tests that need it are skipped.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


def _need(what, is_installed):
    if is_installed:
        return
    if os.environ.get("TEST_CLUSTERS") == "1":
        pytest.fail(f"{what} is not installed, and TEST_CLUSTERS asks for it")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="module")
def galera_cluster():
    """Three nodes with an empty database."""
    _need("mysqlclient", find_spec("MySQLdb"))
    from tests.support import galera

    _need("mariadb-server", shutil.which("mariadbd"))
    _need("galera-4", Path(galera.PROVIDER).exists())
    with galera.GaleraCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def postgresql_programs():
    """Makes sure that PostgreSQL can be started."""
    _need("psycopg", find_spec("psycopg"))
    from tests.support import postgresql_servers

    _need("postgresql", postgresql_servers.find_program("initdb"))


@pytest.fixture(scope="module")
def pgbouncer(postgresql_programs):
    """PgBouncer in transaction mode, in front of a server with an empty database."""
    _need("pgbouncer", shutil.which("pgbouncer"))
    from tests.support.pgbouncer import PgBouncer
    from tests.support.postgresql_servers import PostgreSQLServer

    with PostgreSQLServer() as server, PgBouncer(server) as pooler:
        yield pooler
