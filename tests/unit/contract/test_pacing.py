"""The pace of a clean-up, by a fake clock."""

from random import uniform

import pytest

from bff_sessions.contract import pacing
from bff_sessions.contract.pacing import EXCLUSIVE, SHARED, Pace, delete_in_batches


class Clock:
    """In place of the module `time`."""

    def __init__(self):
        self.now = 0.0
        self.rests = [0.0]

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.rests[-1] += seconds


@pytest.fixture
def clock(monkeypatch):
    # Each rest as long as it is on average.
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def sizes(clock, total, seconds, **arguments):
    """Remove `total` rows, a batch of which takes ``seconds(size)``; what each was asked for."""
    asked = []

    def delete_batch(size):
        nonlocal total
        if asked:
            clock.rests.append(0.0)
        asked.append(size)
        removed = min(size, total)
        total -= removed
        clock.now += seconds(size)
        return removed

    options = {"batch_size": 1000, "max_seconds": None, "sleep": None, "should_stop": None}
    options["pace"] = Pace(seconds=0.05, rest=1)
    delete_in_batches(delete_batch, **options | arguments)
    return asked


def test_short_batches_become_larger_up_to_the_size_that_was_asked_for(clock):
    assert sizes(clock, 2500, lambda size: 0.001) == [100, 200, 400, 800, 1000, 1000]
    assert sizes(clock, 700, lambda size: 0.001, batch_size=250) == [100, 200, 250, 250, 250]


def test_the_first_batch_is_no_larger_than_asked_for(clock):
    assert sizes(clock, 7, lambda size: 0.001, batch_size=3) == [3, 3, 3, 3]


def test_a_batch_is_as_large_as_is_over_in_its_time(clock):
    # 0.2 milliseconds a row: 250 rows.
    assert sizes(clock, 1000, lambda size: size * 0.0002)[-3:] == [250, 250, 250]


def test_a_batch_that_took_long_is_followed_by_a_smaller_one(clock):
    slow = iter([0.001, 0.001, 0.2, 0.001, 0.001])
    assert sizes(clock, 800, lambda size: next(slow)) == [100, 200, 400, 100, 200]


def test_a_commit_that_takes_long_does_not_make_batches_ever_smaller(clock):
    assert sizes(clock, 300, lambda size: 1.0)[-3:] == [50, 50, 50]
    assert sizes(clock, 6, lambda size: 1.0, batch_size=3) == [3, 3, 3]


def test_the_clock_may_stand_still(clock):
    assert sizes(clock, 250, lambda size: 0) == [100, 200, 400]


@pytest.mark.parametrize("rest", [0.5, 1, 3])
def test_others_get_time_in_proportion_to_what_the_last_batch_took(clock, rest):
    took = iter([0.01, 0.3, 0.02, 0.7, 0.0])
    sizes(clock, 351, lambda size: next(took), pace=Pace(seconds=0.05, rest=rest))
    expected = [0.01 * rest, 0.3 * rest, 0.02 * rest, 0.7 * rest, 0.0]
    assert clock.rests == pytest.approx(expected)


def test_who_looks_at_intervals_does_not_meet_a_batch_each_time(clock, monkeypatch):
    monkeypatch.setattr("random.uniform", uniform)
    sizes(clock, 50_000, lambda size: 0.05)
    rests = clock.rests[:-1]
    assert len(set(rests)) == len(rests) > 40
    assert min(rests) < 0.04 < 0.06 < max(rests)
    assert sum(rests) / len(rests) == pytest.approx(0.05, abs=0.015)


def test_who_has_to_wait_for_a_batch_waits_less_and_gets_more_time():
    assert EXCLUSIVE.seconds <= SHARED.seconds
    assert EXCLUSIVE.rest > SHARED.rest


def test_a_rest_that_was_asked_for_is_always_the_same(clock):
    took = iter([0.01, 0.3, 0.02, 0.7, 0.0])
    sizes(clock, 351, lambda size: next(took), sleep=0.5)
    assert clock.rests == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.0])
