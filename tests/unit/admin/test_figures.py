"""The figures of the overview, exact and estimated."""

from datetime import timedelta

import pytest

from bff_sessions.admin import figures
from bff_sessions.admin.charts import text_of
from bff_sessions.stores.orm import sampling
from bff_sessions.stores.orm.sampling import Figure, Precision
from tests.support.factories import SessionFactory, ago

pytestmark = pytest.mark.django_db


def count():
    spans = [(ago(hours=9), ago(hours=0))]
    return figures.count(spans, spans)


def test_small_table_has_exact_figures():
    SessionFactory.create_batch(3)
    SessionFactory.create_batch(2, expired=True)
    counted = count()
    assert counted.live == Figure(number=3, precision=Precision.EXACT)
    assert counted.expired == Figure(number=2, precision=Precision.EXACT)
    assert counted.hours == counted.days == [Figure(number=5, precision=Precision.EXACT)]
    assert counted.is_whole


def test_few_expired_sessions_of_a_large_table_are_exact(small_sample):
    small_sample(20)
    SessionFactory.create_batch(40)
    SessionFactory.create_batch(7, expired=True)
    counted = count()
    assert counted.live.precision is Precision.ABOUT
    assert counted.expired == Figure(number=7, precision=Precision.EXACT)
    assert not counted.is_whole


def test_many_expired_sessions_are_estimated(small_sample):
    small_sample(60)
    SessionFactory.create_batch(40)
    SessionFactory.create_batch(160, expired=True)
    counted = count()
    size = sampling.count_stored().number
    assert {counted.live.precision, counted.expired.precision} == {Precision.ABOUT}
    # The sample is all of the table here.
    assert counted.expired.number == round(size * 160 / 200)
    assert counted.live.number == size - counted.expired.number


def test_expired_sessions_that_a_sample_misses_are_more_than_were_counted(small_sample):
    small_sample(10)
    SessionFactory.create_batch(90)
    SessionFactory.create_batch(12, expired=True)
    counted = count()
    assert counted.expired == Figure(number=10, precision=Precision.MORE)
    assert counted.live.precision is Precision.ABOUT


@pytest.mark.parametrize("anonymous", [3, 30])
def test_outlived_sessions_are_counted_as_expired(settings, small_sample, anonymous):
    settings.BFF_SESSIONS = {"ABSOLUTE_LIFETIME": timedelta(hours=1)}
    small_sample(20)
    SessionFactory.create_batch(40, created=ago(minutes=5))
    SessionFactory.create_batch(4, created=ago(hours=3))
    SessionFactory.create_batch(2, created=ago(hours=3), expired=True)
    SessionFactory.create_batch(anonymous, created=ago(hours=3), anonymous=True)
    expired = count().expired
    if anonymous == 3:
        assert expired == Figure(number=6, precision=Precision.EXACT)
    else:
        # Too many to look at each of them.
        assert expired.precision is not Precision.EXACT


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "about 0"),
        (45, "about 45"),
        (199, "about 199"),
        (246, "about 250"),
        (1_234_567, "about 1,230,000"),
        (9_876_543, "about 9,900,000"),
        (9_999_999, "about 10,000,000"),
    ],
)
def test_estimate_has_no_digits_that_it_cannot_support(number, text):
    assert text_of(Figure(number=number, precision=Precision.ABOUT)) == text


def test_exact_numbers_keep_their_digits():
    assert text_of(Figure(number=9_876_543, precision=Precision.EXACT)) == "9,876,543"
    assert text_of(Figure(number=10_000, precision=Precision.MORE)) == "more than 10,000"
