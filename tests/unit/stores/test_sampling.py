"""Numbers of a large table, estimated from a few thousand entries of its indexes."""

from datetime import timedelta
from random import Random

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from bff_sessions.models import Session
from bff_sessions.stores.orm import sampling
from bff_sessions.stores.orm.sampling import Figure, Precision
from tests.support.factories import SessionFactory, ago

pytestmark = pytest.mark.django_db


@pytest.fixture
def fill():
    """Return a function that adds sessions whose keys are spread as digests are."""
    digits = Random(1)

    def add(number, **values):
        rows = SessionFactory.build_batch(number, **values)
        for row in rows:
            row.key = f"{digits.getrandbits(256):064x}"
        Session.objects.bulk_create(rows, batch_size=500)
        return rows

    return add


def spread(rows, first, last):
    """Let the rows begin at times that are spread evenly."""
    for index, row in enumerate(rows):
        row.created = first + (last - first) * (index / len(rows))
    Session.objects.bulk_update(rows, ["created"], batch_size=100)


@pytest.mark.parametrize("number", [0, 1, 30])
def test_small_table_is_counted_exactly(fill, small_sample, number):
    small_sample(30)
    fill(number)
    assert sampling.count_stored() == sampling.Size(number=number, is_exact=True)


def test_size_of_a_large_table_is_estimated(fill, small_sample):
    small_sample(400)
    fill(2_000)
    size = sampling.count_stored()
    assert not size.is_exact
    # Four standard deviations; the keys are the same each time.
    assert 1_600 < size.number < 2_400


@pytest.mark.parametrize("key", ["z" * 64, "", "-", "0" * 64])
def test_altered_key_does_not_break_the_estimate(fill, small_sample, key):
    small_sample(3)
    Session.objects.bulk_create(
        [SessionFactory.build(key=f"{key}{index}"[-64:]) for index in range(5)]
    )
    assert sampling.count_stored().number >= 3


def test_share_is_that_of_a_random_sample(fill, monkeypatch):
    monkeypatch.setattr(sampling, "_ROWS", 200)
    fill(300, partition="shop")
    fill(700, partition="wiki")
    matching, sampled = sampling.share_of(Q(partition="shop"))
    assert sampled == 200
    assert 34 < matching < 86  # 60, and four standard deviations.


def test_rows_are_counted_up_to_the_sample_only(fill, small_sample):
    small_sample(5)
    fill(2, partition="wiki")
    fill(3, partition="shop")
    rows = Session.objects.order_by("expires")
    assert sampling.count_first(rows) == 5
    assert sampling.count_first(rows, Q(partition="wiki")) == 2
    fill(1)
    assert sampling.count_first(rows) is None


def test_few_sign_ins_are_counted_exactly(fill):
    first, last = ago(hours=2), ago(hours=0)
    middle = first + (last - first) / 2
    fill(2, created=first)
    fill(3, created=middle - timedelta(microseconds=1))
    fill(4, created=middle)
    fill(5, created=last)
    spans = [(first, middle), (middle, last)]
    assert sampling.count_begun(spans, last, 14) == [
        Figure(number=5, precision=Precision.EXACT),
        Figure(number=4, precision=Precision.EXACT),
    ]


def test_count_that_stops_at_its_limit_is_not_called_exact(fill, small_sample):
    small_sample(5)
    first, middle, last = ago(hours=2), ago(hours=1), ago(hours=0)
    fill(10, created=first)
    fill(12, created=middle)
    full, cut = sampling.count_begun([(first, middle), (middle, last)], last, 5)
    assert full == Figure(number=10, precision=Precision.EXACT)
    if connection.vendor == "mysql":  # Has no limit, and counts all.
        assert cut == Figure(number=12, precision=Precision.EXACT)
    else:
        assert cut == Figure(number=10, precision=Precision.MORE)


def test_many_sign_ins_are_estimated_by_span(fill, small_sample, monkeypatch):
    small_sample(500)
    monkeypatch.setattr(sampling, "_WINDOWS", 60)
    first, middle, last = ago(hours=4), ago(hours=2), ago(hours=0)
    spread(fill(500), first, middle)
    spread(fill(1_500), middle, last)
    early, late = sampling.count_begun([(first, middle), (middle, last)], last, 2_000)
    assert early.precision is late.precision is Precision.ABOUT
    assert early.number == pytest.approx(500, rel=0.2)
    assert late.number == pytest.approx(1_500, rel=0.2)


def test_span_that_is_not_over_is_sampled_until_now(fill, small_sample, monkeypatch):
    small_sample(200)
    monkeypatch.setattr(sampling, "_WINDOWS", 20)
    first, now = ago(hours=1), ago(hours=0)
    spread(fill(800), first, now)
    for hours in (0, 1, 20):
        span = first, now + timedelta(hours=hours)
        (figure,) = sampling.count_begun([span], now, 800)
        assert figure.number == pytest.approx(800, rel=0.25)


def test_span_in_the_future_has_no_sign_ins(fill, small_sample):
    small_sample(1)
    fill(3)
    (figure,) = sampling.count_begun([(ago(hours=-1), ago(hours=-2))], ago(hours=0), 3)
    assert figure.number == 0


def test_full_window_is_counted_again(fill, small_sample, monkeypatch):
    """All sign-ins may fall into a few windows, as those of an import do."""
    small_sample(90)
    monkeypatch.setattr(sampling, "_WINDOWS", 2)
    monkeypatch.setattr(sampling, "_WINDOW_LIMIT", 10)
    first, last = ago(hours=1), ago(hours=0)
    spread(fill(100), first, last)
    (figure,) = sampling.count_begun([(first, last)], last, 100)
    assert figure.precision is Precision.ABOUT
    assert figure.number == pytest.approx(100, rel=0.1)


def test_windows_are_within_their_parts_and_apart():
    first, last = ago(days=1), ago(days=0)
    windows = sampling._windows(first, last, 24, 0.01, 24)
    hour = (last - first) / 24
    for index, (begin, end) in enumerate(windows):
        assert first + hour * index <= begin < end
        assert end <= first + hour * (index + 1) + timedelta(microseconds=1)
    minutes = [(begin - first) % hour for begin, _end in windows]
    assert len({minute // (hour / 6) for minute in minutes}) == 6


def test_windows_cost_one_statement(fill, small_sample):
    small_sample(2)
    fill(9)
    spans = [(ago(hours=hours), ago(hours=hours - 1)) for hours in range(24, 0, -1)]
    with CaptureQueriesContext(connection) as captured:
        sampling.count_begun(spans, ago(hours=0), 900)
    assert len(captured) == 1
