"""The measurement of failovers in small: no sign-out that replicas have confirmed is undone."""

import re
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.processes
FIGURES = r" +all +\d+ +\d+ +(?P<gone>\d+) +(?P<signed_out>\d+) +(?P<lost>\d+) +(?P<served>\d+)  "


def test_no_confirmed_sign_out_is_undone(redis_program):
    arguments = "--replicas all --kills 1 --seconds 3 --revocations 100 --slots 10 --program"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.redis_failover", *arguments.split(), redis_program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for experiment in ("kill", "pause", "revoke", "reshard"):
        figures = re.search(rf"^{experiment}{FIGURES}", done.stdout, re.MULTILINE)
        assert (figures["gone"], figures["lost"]) == ("0", "0"), done.stdout
        assert int(figures["signed_out"]) > 3
        if experiment != "pause":
            assert figures["served"] == "0"
