"""Results that Django's cache holds for the next viewers."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from bff_sessions.admin import kept
from bff_sessions.admin.kept import keep

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
SPANS = [(NOW, NOW)]


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


def test_result_is_counted_once():
    first = keep(SPANS, lambda: 1)
    second = keep(SPANS, lambda: 2)
    assert (first.result, second.result) == (1, 1)
    assert first.counted_at == second.counted_at
    assert first.is_kept
    assert second.is_kept


def test_each_list_of_spans_has_a_result_of_its_own():
    assert keep(SPANS, lambda: 1).result == 1
    # Of the same beginning, as in two time zones of which one changes its clock.
    assert keep([(NOW, NOW + timedelta(hours=1))], lambda: 2).result == 2


def test_one_viewer_counts_again_and_the_others_need_not_wait(monkeypatch):
    keep(SPANS, lambda: "old")
    monkeypatch.setattr(kept, "_FRESH", timedelta(0))

    def count():
        # Another viewer comes while this one counts.
        assert keep(SPANS, lambda: "other").result == "old"
        return "new"

    assert keep(SPANS, count).result == "new"
    monkeypatch.setattr(kept, "_FRESH", timedelta(seconds=30))
    assert keep(SPANS, lambda: "newest").result == "new"


def test_next_viewer_counts_again_after_the_first_one():
    keep(SPANS, lambda: 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_FRESH", timedelta(0))
        assert [keep(SPANS, lambda number=number: number).result for number in (2, 3)] == [2, 3]
