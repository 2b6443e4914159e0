"""A fault that many requests meet is news once in ten minutes."""

import logging
import threading

import pytest

from bff_sessions import repeats
from bff_sessions.repeats import error_level

logger = logging.getLogger("bff_sessions.logout")


def is_news(logger, fault):
    level = error_level(logger, fault)
    assert level in (logging.ERROR, logging.INFO)
    return level == logging.ERROR


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    monkeypatch.setattr(repeats, "time", clock := Clock())
    return clock


def test_fault_is_news_once_in_ten_minutes(clock):
    seen = []
    for clock.now in (0, 1, 599, 600, 601, 1200):
        seen.append(is_news(logger, ValueError("The keys of a cannot be used.")))
    assert seen == [True, False, False, True, False, True]


def test_first_sentence_names_the_fault():
    assert is_news(logger, "The keys of https://a.example cannot be used. The answer is 500.")
    assert not is_news(logger, "The keys of https://a.example cannot be used. It was not asked.")
    assert is_news(logger, "The keys of https://b.example cannot be used. The answer is 500.")


def test_each_logger_has_its_own_news():
    assert is_news(logger, "A fault.")
    assert is_news(logging.getLogger("bff_sessions.signals"), "A fault.")


def test_few_faults_of_a_logger_are_news(clock):
    assert sum(is_news(logger, f"It failed for {n}.") for n in range(1000)) == 10
    assert len(repeats._known) == 10
    assert is_news(logging.getLogger("bff_sessions.signals"), "It failed for 0.")
    clock.now = 600
    assert is_news(logger, "It failed for 999.")
    assert len(repeats._known) == 1


def test_changed_setting_makes_it_news_again(settings):
    assert is_news(logger, "A fault.")
    settings.BFF_SESSIONS = {}
    assert is_news(logger, "A fault.")


def test_one_of_several_threads_has_the_news():
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(is_news(logger, "A fault."))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [False] * 7 + [True]
