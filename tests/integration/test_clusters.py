"""Clusters of database servers: what was acknowledged stays, and signed out is out."""

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.processes

SEVERAL_WRITERS = {
    "errors of 30 revocations": "0",
    "lost of 90 saves": "0",
    "errors of saves": "0",
    "overlaps of 30 leases": "0",
    "errors of leases": "0",
}


def run(*arguments, **environment):
    """Run a module of Python's, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows_of(output):
    """Return the rows of a table in the text, as dictionaries."""
    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("|")]
    head, _, *rows = lines
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def galera_figures(galera_cluster):
    """What benchmarks.galera counts in small, by the value of wsrep_sync_wait."""
    ports = [node.port for node in galera_cluster.nodes]
    output = run("benchmarks.galera", "--times", 10, "--ports", *ports)
    return {row.pop("wsrep_sync_wait"): row for row in rows_of(output)}


@pytest.mark.parametrize("sync_wait", ["0", "1"])
def test_writers_on_all_galera_nodes_get_no_errors_and_lose_nothing(galera_figures, sync_wait):
    assert galera_figures[sync_wait].items() >= SEVERAL_WRITERS.items()


def test_galera_node_that_waits_knows_what_others_have_done(galera_figures):
    assert galera_figures["1"]["unknown of 50 sessions"] == "0"
    assert galera_figures["1"]["ms served after 50 revocations"] == "0.0"


@pytest.mark.parametrize(("sync_wait", "warns"), [(0, True), (1, False)])
def test_galera_node_that_does_not_wait_is_w048(galera_cluster, sync_wait, warns):
    node = galera_cluster.nodes[1]
    node.ask(f"SET GLOBAL wsrep_sync_wait = {sync_wait}")
    output = run(
        *("django", "check", "--database", "default"),
        DJANGO_SETTINGS_MODULE="tests.settings",
        TEST_DATABASE_URL=f"mysql://root@127.0.0.1:{node.port}/bff_sessions",
    )
    assert ("bff_sessions.W048" in output) is warns


def test_sign_outs_survive_a_failover_to_a_synchronous_standby(postgresql_programs):
    output = run("benchmarks.postgresql_failover", "--runs", 1, "--standby", "sync", "--lag", 0.1)
    (row,) = rows_of(output)
    assert (row["lost"], row["errors"]) == ("0", "0")
    assert int(row["sign-outs acknowledged before the crash"]) > 0
    assert int(row["after it"]) > 0


def test_orm_store_works_behind_pgbouncer_in_transaction_mode(pgbouncer):
    # The pooler keeps its connections, so that the database cannot be dropped at the end. LISTEN
    # needs a connection of its own.
    run(
        *("pytest", "-q", "--reuse-db", "-m", "not thorough", "-k", "not notice", "-n", 0),
        "tests/unit/stores/test_orm.py",
        TEST_DATABASE_URL=f"{pgbouncer.url}?DISABLE_SERVER_SIDE_CURSORS=true",
    )
    transactions = {name: number for name, number, *_ in pgbouncer.ask("SHOW STATS_TOTALS")}
    assert transactions["test_bff_sessions"] > 1000
