"""GET login, and which addresses are local."""

import pytest
from django.contrib import admin
from django.http import QueryDict
from django.urls import include, path
from django.utils.encoding import iri_to_uri

from bff_sessions.views.local import is_local, local_target
from tests.unit.views.conftest import is_error

LOCAL = [
    "/",
    "/orders",
    "/orders/7?tab=1&x=//y#top",
    "/#/orders",
    "/?next=https://elsewhere.example/",
    "/über/uns",
    "/a%20b/%2F%2Felsewhere.example",
    "/a b",
    "/a//b",
    "/a:b@c",
]
ELSEWHERE = [
    "",
    " ",
    "orders",
    "?x=1",
    "#top",
    "https://elsewhere.example/",
    "http://testserver/",
    "https:elsewhere.example",
    "https:/elsewhere.example",
    "//elsewhere.example/",
    "///elsewhere.example/",
    "//testserver/",
    r"\\elsewhere.example",
    r"/\elsewhere.example",
    r"\/elsewhere.example",
    r"/\/elsewhere.example",
    r"/orders\..\..",
    " //elsewhere.example",
    " /orders",
    "\t//elsewhere.example",
    "/\t/elsewhere.example",
    "/\n/elsewhere.example",
    "/\r\n/elsewhere.example",
    "/\x00/elsewhere.example",
    "\x00//elsewhere.example",
    "\x08//elsewhere.example",
    "/\x1f/elsewhere.example",
    "/orders\r\nSet-Cookie: x=1",
    "/orders\x7f",
    "/orders\x85",
    "/orders\u202egro.elpmaxe",
    "/orders\ud800",
    "\ufeff/orders",
    "javascript:alert(1)",
    "/\u200b/elsewhere.example",
    "JAVASCRIPT:alert(1)",
    "data:text/html,x",
    "@elsewhere.example",
    ".elsewhere.example",
    "http:///elsewhere.example",
    "/////[",
    "//[::1",
    "//elsewhere.example/me",
    "//elsewhere.example/" + 3000 * "a",
    "//user@elsewhere.example",
    "//elsewhere.example:8000/",
    "/\uff0felsewhere.example",
    "/\uff3celsewhere.example",
    "\uff0f/elsewhere.example",
    "ftp://elsewhere.example",
    "mailto:alice@elsewhere.example",
    "x:/orders",
]
# What is too long, and what is left of it.
LONG = [
    ("/orders?q=" + 3000 * "a", "/orders"),
    ("/orders?q=" + 20_000 * "a" + "#top", "/orders"),
    ("/orders#" + 3000 * "a" + "?x", "/orders"),
    ("/" + 2047 * "a", "/" + 2047 * "a"),
    ("/" + 2047 * "a" + "?b", "/" + 2047 * "a"),
    ("/" + 2048 * "a", None),
    ("/" + 20_000 * "a", None),
    # Six and twelve characters each once they are percent-encoded.
    ("/orders?q=" + 1000 * "\u00fc", "/orders"),
    ("/" + 341 * "\u00fc", "/" + 341 * "\u00fc"),
    ("/" + 342 * "\u00fc", None),
    ("/" + 2000 * "\U0001f600", None),
]

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
