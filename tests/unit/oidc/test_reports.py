"""Faults that are reported once."""

import logging
import threading

import pytest

from bff_sessions.oidc import log
from bff_sessions.oidc.log import log_once

logger = logging.getLogger("bff_sessions.oidc")


@pytest.fixture(autouse=True)
def nothing_reported(settings):
    settings.BFF_SESSIONS = {}
    assert log._reported == {}


def report(fault="fault", issuer="https://idp.example"):
    log_once(logger, logging.ERROR, fault, issuer, "%s is at fault.")


def test_each_fault_of_each_issuer_is_reported_once(caplog):
    for _ in range(3):
        report()
        report(issuer="https://other.example")
        report(issuer=None)
        report("another fault")
    assert [record.getMessage() for record in caplog.records] == [
        "https://idp.example is at fault.",
        "https://other.example is at fault.",
        "an unknown provider is at fault.",
        "https://idp.example is at fault.",
    ]


def test_memory_is_bounded(caplog):
    for number in range(log._MAX + 10):
        report(issuer=str(number))
    assert len(log._reported) == log._MAX
    report(issuer=str(log._MAX + 9))
    assert len(caplog.records) == log._MAX + 10


def test_changed_settings_are_reported_again(settings, caplog):
    report()
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = "another"
    report()
    assert len(caplog.records) == 2


def test_threads_log_once(caplog):
    threads = [threading.Thread(target=report) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 1
