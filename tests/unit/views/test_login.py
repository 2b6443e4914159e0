"""GET login, and which addresses are local."""

import pytest
from django.contrib import admin
from django.http import QueryDict
from django.urls import include, path
from django.utils.encoding import iri_to_uri

from bff_sessions.views.local import is_local, local_target
from tests.support.endpoints import is_error
from tests.support.targets import ELSEWHERE, LOCAL, LONG

urlpatterns = [
    path("bff/", include("bff_sessions.urls")),
    path("oidc/start/", admin.site.index, name="start"),
]


@pytest.mark.parametrize("url", LOCAL)
def test_a_path_of_this_site_is_local(url):
    assert is_local(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nothing_else_is_local(url):
    assert not is_local(url)


@pytest.mark.parametrize(("url", "target"), LONG)
def test_long_path_loses_query_and_fragment(url, target):
    assert is_local(url)
    assert local_target(url) == target


@pytest.mark.parametrize("url", [None, *ELSEWHERE])
def test_only_local_urls_are_targets(url):
    assert local_target(url) is None


@pytest.mark.parametrize("url", LOCAL)
def test_short_local_url_is_its_own_target(url):
    assert local_target(url) == url


@pytest.mark.parametrize(("return_to", "target"), LONG)
def test_long_return_to_is_no_dead_end(browser, return_to, target):
    response = browser.request("get", "/bff/login", {"return_to": return_to})
    assert response.status_code == 302
    query = QueryDict(response.headers["Location"].partition("?")[2])
    assert query.dict() == ({} if target is None else {"next": target})


@pytest.mark.parametrize("character", ["&", "%26", "/", "\u00fc"])
def test_address_for_signing_in_fits_a_request_line(browser, character):
    return_to = "/?" + character * 2_046
    while len(iri_to_uri(return_to)) > 2_048:
        return_to = return_to[: -len(character)]
    response = browser.request("get", "/bff/login", {"return_to": return_to})
    assert len(response.headers["Location"]) < 8_000
    assert QueryDict(response.headers["Location"].partition("?")[2]).dict() == {"next": return_to}


@pytest.mark.parametrize("return_to", LOCAL)
def test_signing_in_leads_back(browser, return_to):
    response = browser.request("get", "/bff/login", {"return_to": return_to})
    assert response.status_code == 302
    location, _, query = response.headers["Location"].partition("?")
    assert location == "/accounts/login/"
    assert QueryDict(query).dict() == {"next": return_to}


@pytest.mark.parametrize("return_to", [url for url in ELSEWHERE if "\ud800" not in url])
def test_signing_in_leads_nowhere_else(browser, return_to):
    response = browser.request("get", "/bff/login", {"return_to": return_to})
    assert is_error(response, 400, "invalid_return_to")
    assert "elsewhere" not in response.content.decode()
    assert "Location" not in response.headers


def test_bytes_that_are_no_text_are_no_fault_of_ours(browser):
    response = browser.request("get", "/bff/login?return_to=/%ED%A0%80%FF")
    assert response.status_code == 302


def test_without_return_to_the_library_decides(browser):
    assert browser.request("get", "/bff/login").headers["Location"] == "/accounts/login/"


@pytest.mark.urls("tests.unit.views.test_login")
@pytest.mark.parametrize(
    ("login_url", "expected"),
    [
        ("start", "/oidc/start/?next=/orders"),
        ("/oidc/start/?process=login", "/oidc/start/?process=login&next=/orders"),
        ("/oidc/start/?next=/other", "/oidc/start/?next=/orders"),
        ("https://shop.example/start", "https://shop.example/start?next=/orders"),
    ],
)
def test_the_library_is_configured(browser, configure, settings, login_url, expected):
    configure(LOGIN_URL=login_url)
    response = browser.request("get", "/bff/login?return_to=/orders")
    assert response.headers["Location"] == expected
    configure()
    settings.LOGIN_URL = login_url
    response = browser.request("get", "/bff/login?return_to=/orders")
    assert response.headers["Location"] == expected


def test_the_name_of_its_parameter_is_configured(browser, configure):
    configure(LOGIN_NEXT_PARAMETER="target")
    response = browser.request("get", "/bff/login?return_to=/a%26b%3D1")
    assert response.headers["Location"] == "/accounts/login/?target=/a%26b%3D1"


def test_signing_in_looks_at_no_session(browser, django_assert_num_queries):
    browser.sign_in()
    with django_assert_num_queries(0):
        browser.request("get", "/bff/login?return_to=/orders")
