"""The overview page of the admin."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from bff_sessions.admin import charts, figures
from bff_sessions.admin.overview import _days, _hours
from bff_sessions.contract import UserSessionUpdate
from bff_sessions.models import Session
from bff_sessions.stores import get_store
from bff_sessions.stores.orm.sampling import Figure, Precision
from bff_sessions.testing import altered
from tests.support.admin import LIST, OVERVIEW, browser_of
from tests.support.factories import SessionFactory, UserFactory, ago

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def context(operator):
    """Return the context of the page, without the operator's own session."""

    def get():
        row = operator.session.get_user_session()
        older = altered(row, created=ago(days=99), expires=ago(days=-1))
        get_store().update_user_session(row.key, UserSessionUpdate.of(older))
        response = operator.get(OVERVIEW)
        assert response.status_code == 200
        return response.context

    return get


def numbers(chart):
    return [bar.number for bar in chart.bars]


def test_list_links_to_the_overview(operator):
    assert f'<a href="{OVERVIEW}">Overview</a>' in operator.get(LIST).content.decode()


def test_live_and_expired_sessions_are_counted(context):
    SessionFactory.create_batch(2)
    SessionFactory(endless=True)
    SessionFactory.create_batch(4, expired=True)
    assert context()["live"] == "4"  # With the operator's.
    assert context()["expired"] == "4"


def test_sign_ins_are_counted_by_hour(context):
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    SessionFactory.create_batch(2, created=begin)
    SessionFactory.create_batch(3, created=begin - timedelta(microseconds=1))
    SessionFactory(created=begin - timedelta(hours=23))
    SessionFactory(created=begin - timedelta(hours=23, microseconds=1))
    assert numbers(context()["hours"]) == [1, *[0] * 21, 3, 2]


def test_sign_ins_are_counted_by_day_of_the_viewer(context, settings):
    settings.TIME_ZONE = "Asia/Kolkata"
    days = list(_days(*_now_in("Asia/Kolkata")))
    SessionFactory.create_batch(2, created=days[-1][0])
    SessionFactory.create_batch(3, created=days[-1][0] - timedelta(microseconds=1))
    SessionFactory(created=days[0][0])
    SessionFactory(created=days[0][0] - timedelta(microseconds=1))
    assert numbers(context()["days"]) == [1, *[0] * 27, 3, 2]


def _now_in(name):
    return datetime.now(ZoneInfo(name)), ZoneInfo(name)


@pytest.mark.parametrize("clock", ["2026-03-29T12:30", "2026-10-25T02:30", "2026-10-25T12:30"])
def test_hours_and_days_count_once_when_the_clocks_change(clock):
    zone = ZoneInfo("Europe/Berlin")
    now = datetime.fromisoformat(clock).replace(tzinfo=zone)
    for spans in (list(_hours(now)), list(_days(now, zone))):
        moments = [(first.astimezone(UTC), last.astimezone(UTC)) for first, last in spans]
        assert all(one[1] == next[0] for one, next in pairwise(moments))
        if spans[0][1] - spans[0][0] < timedelta(days=1):
            assert {last - first for first, last in moments} == {timedelta(hours=1)}
        assert moments[-1][0] <= now.astimezone(UTC) < moments[-1][1]
    assert {last - first for first, last in moments} >= {timedelta(hours=24)}


def test_sessions_are_counted_by_partition_and_issuer(context):
    SessionFactory.create_batch(3, partition="shop")
    SessionFactory.create_batch(2, partition="wiki", issuer="https://other.example")
    SessionFactory(anonymous=True, partition="shop")
    page = context()
    partitions = [(bar.label, bar.number) for bar in page["partitions"].bars]
    assert partitions == [("shop", 4), ("wiki", 2), ("default", 1)]
    issuers = {bar.label: bar.number for bar in page["issuers"].bars}
    assert issuers == {
        "https://idp.example": 3,
        "https://other.example": 2,
        "without provider": 2,
    }
    assert page["is_whole"]


def test_page_says_that_it_counts_the_newest_only(operator, small_sample):
    small_sample(3)
    SessionFactory(partition="wiki", created=ago(days=9))
    SessionFactory.create_batch(3, partition="shop", created=ago(seconds=-1))
    text = operator.get(OVERVIEW).content.decode()
    assert "Of the 3 newest sign-ins." in text
    assert "wiki" not in text


def test_small_table_has_no_estimates(operator):
    SessionFactory.create_batch(2)
    text = operator.get(OVERVIEW).content.decode()
    assert "about" not in text
    assert "stimate" not in text


@pytest.mark.parametrize(
    ("language", "about", "note"),
    [("en", "about", "Estimated from samples."), ("de", "etwa", "Aus Stichproben geschätzt.")],
)
def test_page_says_in_words_which_numbers_are_estimates(
    operator, small_sample, language, about, note
):
    small_sample(90)
    rows = [SessionFactory.build(created=ago(minutes=3 * number)) for number in range(400)]
    Session.objects.bulk_create(rows)
    with translation.override(language):
        text = operator.get(OVERVIEW).content.decode()
    assert re.search(rf"<dd>{about} \d+</dd>", text)
    assert re.search(r"<dd>0</dd>", text)  # Expired ones are few, so that they were counted.
    assert text.count(note) == 2
    assert re.search(rf"<title>[^<]+: {about} \d+</title>", text)
    assert re.search(rf"<td>{about} \d+</td>", text)


def test_each_chart_has_a_table_of_its_numbers(operator):
    SessionFactory.create_batch(3, created=ago(seconds=0))
    text = operator.get(OVERVIEW).content.decode()
    for id in ("hours", "days", "partitions", "issuers"):
        section = text[text.index(f'<section class="bff-chart" aria-labelledby="bff-{id}">') :]
        section = section[: section.index("</section>")]
        assert 'role="img"' in section
        assert re.search(r'<th scope="row">[^<]+</th><td>4</td>', section), id


def test_charts_are_the_same_in_each_language(operator):
    SessionFactory.create_batch(3, created=ago(seconds=0))
    with translation.override("de"):
        text = operator.get(OVERVIEW, headers={"Accept-Language": "de"}).content.decode()
    assert re.findall(r'x="(\d+\.\d\d%)"', text)
    assert not re.search(r'="\d+,\d+', text)


def test_overview_escapes_claims(operator):
    SessionFactory(issuer="<script>alert(1)</script>", partition="<b>")
    text = operator.get(OVERVIEW).content.decode()
    assert "<script>alert(1)" not in text
    assert "<b>" not in text


def test_overview_takes_no_more_statements_for_many_sessions(operator):
    counts = []
    for number in (1, 20):
        for index in range(number):
            SessionFactory(partition=f"app {index}", issuer=f"https://{index}.example")
            SessionFactory(expired=True, created=ago(days=index))
        cache.clear()
        with CaptureQueriesContext(connection) as captured:
            operator.get(OVERVIEW)
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_figures_are_cached_for_a_minute_and_the_page_says_so(operator):
    SessionFactory()
    operator.get(OVERVIEW)
    SessionFactory()
    with CaptureQueriesContext(connection) as captured:
        text = operator.get(OVERVIEW).content.decode()
    assert "cached for a minute" in text
    assert "<dd>2</dd>" in text
    assert not any("COUNT(" in query["sql"] for query in captured)
    cache.clear()
    assert "<dd>3</dd>" in operator.get(OVERVIEW).content.decode()


class BrokenCache(LocMemCache):
    """A cache that fails with the verbs in `fails`, drops writes or returns `answer`."""

    fails = ()
    drops = False
    answer = None

    def get(self, key, default=None, version=None):
        if "get" in self.fails:
            raise ConnectionError("redis://:secret@10.0.0.1")
        return self.answer or super().get(key, default, version)

    def set(self, key, value, timeout=None, version=None):
        if "set" in self.fails:
            raise ConnectionError("redis://:secret@10.0.0.1")
        if not self.drops:
            super().set(key, value, timeout, version)


@pytest.fixture
def broken(settings, monkeypatch):
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.BrokenCache", "LOCATION": "broken"}}
    yield lambda **how: [monkeypatch.setattr(BrokenCache, *item) for item in how.items()]
    monkeypatch.undo()
    cache.clear()


@pytest.mark.parametrize("fails", [("get", "set"), ("get",), ("set",)], ids=str)
def test_cache_that_fails_does_not_fail_the_overview(operator, broken, caplog, fails):
    broken(fails=fails)
    for number in (1, 2):
        text = operator.get(OVERVIEW).content.decode()
        assert f"<dd>{number}</dd>" in text
        assert re.search(r"Counted at \d\d:\d\d:\d\d\.\s", text)
        assert "kept for" not in text
        SessionFactory()
    ours = [record for record in caplog.records if record.name == "bff_sessions.admin"]
    assert {record.levelname for record in ours} == {"WARNING"}
    assert "ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_overview_does_not_call_a_dropped_write_cached(operator, broken):
    broken(drops=True)
    text = operator.get(OVERVIEW).content.decode()
    assert "Counted at" in text
    assert "kept for" not in text


@pytest.mark.parametrize("answer", ["text", 7, (1, 2), (1, 2, 3), [1], {"a": 1}], ids=repr)
def test_malformed_cache_value_is_counted_again(operator, broken, answer):
    broken(answer=answer)
    assert "<dd>1</dd>" in operator.get(OVERVIEW).content.decode()


def test_tenants_do_not_share_figures(operator):
    wrapper = connections["default"]
    wrapper.schema_name = "a"
    try:
        assert "<dd>1</dd>" in operator.get(OVERVIEW).content.decode()
        SessionFactory()
        assert "<dd>1</dd>" in operator.get(OVERVIEW).content.decode()
        wrapper.schema_name = "b"
        assert "<dd>2</dd>" in operator.get(OVERVIEW).content.decode()
    finally:
        del wrapper.schema_name


@pytest.mark.parametrize("numbers", [[0], [0, 0], [-1], [-1, 0], [-1, 1], [10**18, 1]], ids=str)
def test_charts_of_odd_numbers_are_drawn(numbers):
    named = [("a", number) for number in numbers]
    assert [bar.number for bar in charts.shares(named).bars] == numbers
    exact = [(name, Figure(number=number, precision=Precision.EXACT)) for name, number in named]
    bars = charts.columns(exact, mark_every=6).bars
    assert all(0 <= bar.height <= charts.HEIGHT for bar in bars)


def test_chart_says_how_exact_its_numbers_are():
    def chart(*precisions):
        figures = [(each, Figure(number=1234, precision=each)) for each in precisions]
        return charts.columns(figures, mark_every=6)

    exact = chart(Precision.EXACT, Precision.EXACT)
    assert (exact.total_text, exact.most_text, exact.is_estimate) == ("2,468", "1,234", False)
    estimated = chart(Precision.ABOUT, Precision.ABOUT)
    assert (estimated.total_text, estimated.is_estimate) == ("about 2,500", True)
    cut = chart(Precision.EXACT, Precision.MORE)
    assert [bar.text for bar in cut.bars] == ["1,234", "more than 1,234"]
    assert (cut.total_text, cut.is_estimate) == ("more than 2,468", False)
    assert cut.most_text == "more than 1,234"


def test_empty_table_has_an_overview():
    assert figures.count_by_group() == []
    assert charts.columns([], mark_every=6).bars == []
    assert charts.shares([]).bars == []


def test_user_without_permission_does_not_see_the_overview():
    assert browser_of().get(OVERVIEW).status_code == 403
    assert browser_of("end", "sign_out").get(OVERVIEW).status_code == 403
    assert Client().get(OVERVIEW).status_code == 302
    browser = Client()
    browser.force_login(UserFactory(is_superuser=True))
    assert browser.get(OVERVIEW).status_code == 302
    assert browser_of("view").get(OVERVIEW).status_code == 200
