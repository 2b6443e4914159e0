"""What all endpoints have in common."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.urls import resolve

from tests.support.endpoints import claims, is_error

FETCHED = [
    ("get", "/bff/user"),
    ("get", "/bff/sessions"),
    ("delete", "/bff/sessions/others"),
    ("delete", "/bff/sessions/0123456789abcdef0123456789abcdef"),
]
NAVIGATED = [("get", "/bff/login"), ("post", "/bff/logout"), ("get", "/bff/logout/callback")]
GETS = [(method, path) for method, path in FETCHED + NAVIGATED if method == "get"]


@pytest.mark.parametrize(("method", "path"), [case for case in FETCHED if case[0] == "get"])
@pytest.mark.parametrize("headers", [{}, {"X-CSRF": ""}, {"X-CSRF": "0"}, {"X-CSRFToken": "1"}])
def test_a_fetch_without_the_header_is_refused(browser, method, path, headers):
    browser.sign_in()
    response = browser.fetch(method, path, headers)
    assert is_error(response, 403, "csrf_header_missing")
    assert "X-CSRF: 1" in response.json()["error_description"]


@pytest.mark.parametrize(("method", "path"), [case for case in FETCHED if case[0] == "delete"])
def test_a_delete_needs_the_header_and_the_token(open_browser, method, path):
    browser = open_browser().sign_in()
    other = open_browser().sign_in(claims(session_id="s2"))
    path = path.replace("0123456789abcdef" * 2, other.row.public_id)
    token = browser.user()["csrf_token"]
    assert browser.fetch(method, path, {"X-CSRF": "1"}).status_code == 403
    without_header = browser.fetch(method, path, {"X-CSRFToken": token})
    assert is_error(without_header, 403, "csrf_header_missing")
    assert other.row is not None
    both = browser.fetch(method, path, {"X-CSRF": "1", "X-CSRFToken": token})
    assert both.status_code in (200, 204)
    assert other.row is None


@pytest.mark.parametrize(("method", "path"), [case for case in FETCHED if case[0] == "delete"])
def test_the_token_is_asked_for_without_the_middleware_too(browser, settings, method, path):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name]
    browser.sign_in()
    assert browser.fetch(method, path, {"X-CSRF": "1"}).status_code == 403
    assert browser.request("post", "/bff/logout").status_code == 403
    assert browser.row is not None
    assert browser.delete(path).status_code in (200, 404)
    assert browser.sign_out().status_code == 302


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/bff/user", "GET, HEAD"),
        ("/bff/sessions", "GET, HEAD"),
        ("/bff/sessions/others", "DELETE"),
        ("/bff/sessions/0123456789abcdef0123456789abcdef", "DELETE"),
        ("/bff/login", "GET, HEAD"),
        ("/bff/logout", "POST"),
        ("/bff/logout/callback", "GET, HEAD"),
    ],
)
def test_other_verbs_are_refused_and_told_which_to_use(browser, path, allowed):
    browser.sign_in()
    token = browser.user()["csrf_token"]
    for method in {"get", "head", "post", "put", "patch", "delete", "options"}:
        if method.upper() not in allowed:
            headers = {"X-CSRF": "1", "X-CSRFToken": token}
            response = browser.request(method, path, headers=headers)
            assert response.status_code == 405, method
            assert response.headers["Allow"] == allowed
            assert method == "head" or is_error(response, 405, "method_not_allowed")
    assert browser.row is not None


@pytest.mark.parametrize(("method", "path"), FETCHED + NAVIGATED)
def test_what_is_switched_off_is_not_there(browser, configure, method, path):
    browser.sign_in()
    token = browser.user()["csrf_token"]
    configure(ENDPOINTS=[])
    response = browser.fetch(method, path, {"X-CSRF": "1", "X-CSRFToken": token})
    assert is_error(response, 404, "not_found")
    assert browser.row is not None


def test_one_may_be_switched_off_and_the_others_stay(browser, configure):
    configure(ENDPOINTS=["user", "login"])
    browser.sign_in()
    assert browser.user()["logout_url"] is None
    assert browser.fetch("get", "/bff/login").status_code == 302
    assert browser.fetch("get", "/bff/sessions").status_code == 404


@pytest.mark.parametrize(("method", "path"), GETS)
@pytest.mark.parametrize("headers", [{"X-CSRF": "1"}, {}])
def test_no_answer_is_kept_or_given_to_somebody_else(browser, method, path, headers):
    browser.sign_in()
    response = browser.fetch(method, path, headers)
    assert response.headers["Cache-Control"] == "no-store"
    vary = {name.strip() for name in response.headers["Vary"].split(",")}
    assert vary >= {"Cookie", "X-CSRF"}


@pytest.mark.parametrize("name", ["CSRF_USE_SESSIONS", "CSRF_COOKIE_HTTPONLY"])
def test_the_token_is_told_where_no_script_can_read_the_cookie(browser, settings, name):
    setattr(settings, name, True)
    browser.sign_in()
    assert browser.delete("/bff/sessions/others").json() == {"ended": 0}
    assert browser.sign_out().status_code == 302
    assert browser.row is None


def test_with_login_required_middleware_the_answers_are_ours(browser, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert is_error(browser.fetch("get", "/bff/user"), 401, "not_signed_in")
    assert browser.fetch("get", "/bff/login").headers["Location"] == "/accounts/login/"
    browser.sign_in()
    assert browser.user()["claims"]["sub"] == "alice"
    assert browser.sign_out().status_code == 302
    assert browser.row is None


def test_with_atomic_requests_everything_works(browser, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    browser.sign_in()
    assert browser.user()["claims"]["sub"] == "alice"
    assert len(browser.fetch("get", "/bff/sessions").json()["sessions"]) == 1
    assert browser.delete("/bff/sessions/others").json() == {"ended": 0}
    assert browser.sign_out().status_code == 302
    assert browser.row is None


def test_another_session_engine_is_told_by_name(settings, db):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(ImproperlyConfigured, match=r"bff_sessions\.engine"):
        Client().get("/bff/user", headers={"X-CSRF": "1"})


def test_a_view_says_what_it_is_called():
    assert resolve("/bff/user").func.__name__ == "user"
    assert resolve("/bff/user").view_name == "bff_sessions:user"
