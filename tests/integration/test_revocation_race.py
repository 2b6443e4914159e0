"""The proof of the cache in front, in small: two processes that read, one that revokes."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

DATABASE = os.environ.get("TEST_DATABASE_URL", "sqlite:")
REDIS_SERVER = shutil.which("redis-server")
# Its processes use the database; the test itself does not.
pytestmark = [pytest.mark.processes, pytest.mark.database]


@pytest.mark.skipif(DATABASE.startswith("sqlite:"), reason="TEST_DATABASE_URL names no server")
@pytest.mark.skipif(not REDIS_SERVER, reason="redis-server is not installed")
@pytest.mark.parametrize(
    ("trouble", "served"),
    [
        ([], r"0 served after the revocation had returned; 0 errors"),
        (["--trouble", "--seconds", "6"], r"\d+ served .*; 0 errors"),
        (["--evict", "allkeys-lru"], r"\d+ served .*; 0 errors, \d+ evicted"),
        (["--evict", "volatile-ttl"], r"0 served .*; 0 errors, \d+ evicted"),
    ],
    ids=["in_peace", "in_trouble", "with_lru_eviction", "with_ttl_eviction"],
)
def test_nothing_is_served_after_its_revocation_for_longer_than_it_says(trouble, served):
    script = ["benchmarks/revocation_race.py", "--engine", "bff", "--revocations", "100"]
    done = subprocess.run(
        [sys.executable, *script, "--database", DATABASE, "--max-stale", "2", *trouble],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert re.search(rf"bff: 100 revocations, \d+ requests in 2 processes, {served}", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
