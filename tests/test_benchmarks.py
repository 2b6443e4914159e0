"""The benchmark measures what it says: each of its operations checks what it did."""

from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main
from benchmarks.chart import draw
from benchmarks.engines import BASE, ENGINES, OURS
from benchmarks.operations import ASYNC, OPERATIONS
from benchmarks.raw import RAW
from benchmarks.report import save_json


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
    assert measured.keys() == {name for name, engine in ENGINES.items() if engine.is_installed}
    for name, operations in measured.items():
        engine = ENGINES[name]
        every = RAW if engine.is_raw else OPERATIONS | (ASYNC if engine.has_async else {})
        assert operations == list(every), name


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
