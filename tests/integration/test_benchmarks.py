"""The benchmarks run, and each operation checks its result."""

import json
from xml.etree import ElementTree

import pytest

from benchmarks import cleanup
from benchmarks.__main__ import main
from benchmarks.chart import draw
from benchmarks.engines import BASE, ENGINES, OURS
from benchmarks.offers import offers
from benchmarks.report import save_json

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    arguments = ["--databases", "sqlite", "--rounds", "1", "--iterations", "2", "--rows", "60"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("benchmarks"))
        return main(arguments)


def test_every_operation_of_every_engine_does_what_it_says(results):
    measured = {}
    for result in results:
        measured.setdefault(result.contestant, []).append(result.operation)
    assert measured.keys() == {name for name, engine in ENGINES.items() if engine.is_available}
    for name, operations in measured.items():
        usual, _ = offers(ENGINES[name])
        assert operations == list(usual), name


def test_ratios_are_to_contrib_db_in_the_same_round(results):
    seconds = {(r.contestant, r.operation): r.rounds for r in results}
    for result in results:
        base = seconds[BASE, result.operation]
        expected = [own / other for own, other in zip(result.rounds, base, strict=True)]
        assert result.ratios == pytest.approx(expected)


def test_the_chart_shows_the_ratios(results):
    texts = "".join(ElementTree.fromstring(draw(results)).itertext())
    (load,) = [r for r in results if (r.contestant, r.operation) == (OURS, "load")]
    assert f"{load.ratio:.2f}" in texts
    assert "aload" not in texts


def test_pyperf_reads_the_file(results, tmp_path):
    pyperf = pytest.importorskip("pyperf")
    save_json(tmp_path / "benchmarks.json", results)
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "benchmarks.json"))
    load = suite.get_benchmark(f"SQLite: {OURS}: load")
    assert len(suite) == len(results)
    assert load.get_values() == next(
        tuple(r.rounds) for r in results if (r.contestant, r.operation) == (OURS, "load")
    )


def test_clean_up_is_measured_beside_one_delete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = "--databases sqlite --rows 400 --expired 80 --few 10 --rounds 1 --idle 0.1"
    results = cleanup.main([*arguments.split(), "--json", "cleanup.json"])
    result = results["SQLite"]
    assert json.loads((tmp_path / "cleanup.json").read_text()) == results
    deleted = {
        label: sum(run["deleted"] for run in result[label])
        for label in ("clean-up", "DELETE", "two clean-ups", "few rows")
    }
    assert deleted == {"clean-up": 80, "DELETE": 80, "two clean-ups": 80, "few rows": 10}
    phases = {
        f"{kind}, {phase}" for kind in ("read", "write") for phase in ("idle", "clean-up", "DELETE")
    }
    assert result["others"].keys() == phases
    for waits in result["others"].values():
        assert waits["number"] > 0
        assert waits["errors"] == {}
        assert waits["p50 ms"] <= waits["p99 ms"] <= waits["longest ms"]
