"""GET health."""

import threading

import pytest
from django.db import DatabaseError
from django.test import Client

from bff_sessions.stores import get_store
from bff_sessions.views import health
from tests.support.logs import errors


@pytest.fixture(autouse=True)
def no_repetition(monkeypatch):
    monkeypatch.setattr(health, "_REPEATED_FOR", 0)


@pytest.fixture
def failing_store(monkeypatch):
    def fail(store, key):
        raise DatabaseError(f"secret {key}")

    monkeypatch.setattr(type(get_store()), "get_user_session", fail)


def test_host_that_serves_sessions_is_healthy(browser):
    response = browser.request("get", "/bff/health")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "checks": {"store": "ok", "ticket": "ok", "clean-up": "ok"},
    }
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies


def test_store_that_fails_is_answered_503(browser, failing_store, settings):
    settings.CSRF_USE_SESSIONS = True
    response = browser.request("get", "/bff/health")
    assert response.status_code == 503
    assert response.json() == {"status": "fault", "checks": {"store": "fault"}}


def test_host_that_serves_no_session_is_one_error(browser, failing_store, caplog):
    for _ in range(5):
        assert browser.request("get", "/bff/health").status_code == 503
    text = "This process can serve no session. The check was stopped by DatabaseError."
    assert errors(caplog) == [("bff_sessions.store", text)]


def test_host_with_other_keys_is_answered_503(browser, configure):
    browser.request("get", "/bff/health")
    configure(ENCRYPTION_KEYS=["other" * 10])
    response = browser.request("get", "/bff/health")
    assert response.status_code == 503
    assert response.json()["checks"]["ticket"] == "fault"


def test_host_serves_while_a_provider_is_away(browser, configure):
    configure(PROVIDERS={"https://idp.example": {"CLIENT_ID": "shop"}})
    health_of = browser.request("get", "/bff/health")
    assert health_of.status_code == 200
    assert health_of.json()["checks"]["keys"] in ("warning", "fault")
    assert "idp.example" not in health_of.content.decode()


@pytest.fixture
def repetition(monkeypatch):
    monkeypatch.setattr(health, "_examinations", {})
    monkeypatch.setattr(health, "_REPEATED_FOR", 60)


def test_answer_is_repeated_for_a_moment(browser, repetition, django_assert_num_queries):
    first = browser.request("get", "/bff/health")
    with django_assert_num_queries(0):
        assert browser.request("get", "/bff/health").content == first.content


def test_answer_is_repeated_to_each_of_several_tenants(browser, repetition, monkeypatch):
    scope, examined = "", []
    monkeypatch.setattr(type(get_store()), "scope", property(lambda store: scope))
    monkeypatch.setattr(health, "examine", lambda **options: examined.append(scope) or [])
    for scope in ["one", "two", "one", "two"]:  # noqa: B007 - the store returns it.
        browser.request("get", "/bff/health")
    assert examined == ["one", "two"]


def test_no_request_waits_long_for_a_store_that_hangs(browser, monkeypatch):
    monkeypatch.setattr(health, "_examinations", {})
    monkeypatch.setattr(health, "_PATIENCE", 0.1)
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(**options):
        hangs.set()
        goes_on.wait(30)
        return []

    monkeypatch.setattr(health, "examine", hang)
    examination = health._examinations.setdefault(get_store().scope, health._Examination())
    thread = threading.Thread(target=examination.verdicts)
    thread.start()
    try:
        assert hangs.wait(30)
        response = browser.request("get", "/bff/health")
        assert response.status_code == 503
        assert response.json() == {"status": "fault", "checks": {}}
        assert not goes_on.is_set()
    finally:
        goes_on.set()
        thread.join()
    assert browser.request("get", "/bff/health").status_code == 200


def test_only_reading_is_allowed(db):
    client = Client()
    assert client.head("/bff/health").status_code == 200
    assert client.post("/bff/health").status_code == 405


def test_health_can_be_switched_off(browser, configure):
    configure(ENDPOINTS=["user"])
    assert browser.request("get", "/bff/health").status_code == 404
