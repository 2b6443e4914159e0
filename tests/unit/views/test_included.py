"""Where a project may include bff_sessions.urls: the endpoints find each other there."""

import re
from html import unescape

import pytest
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import path

from bff_sessions.views.my_sessions import my_sessions
from bff_sessions.views.user import user
from tests.support.endpoints import Browser, claims, public_id_of
from tests.support.factories import SessionFactory
from tests.support.places import PLACES, Urls, ours


@pytest.fixture
def browser(db):
    return Browser(Client()).sign_in()


@pytest.fixture(params=PLACES, ids=lambda place: place or "root")
def place(request, settings):
    settings.ROOT_URLCONF = PLACES[request.param]
    return request.param


def links_of(response):
    return re.findall(r'(?:href|action)="([^"]*(?:/my-sessions|/end|/logout))"', page_of(response))


def page_of(response):
    assert response.status_code == 200
    return unescape(response.content.decode())


def journey(browser, place, prefix=""):
    """Go through every endpoint at `place`; its addresses begin with `prefix`."""
    at = f"{prefix}{place}"
    other = SessionFactory()
    end = f"/my-sessions/{public_id_of(other)}/end"
    assert browser.user(f"{place}/user")["logout_url"] == f"{at}/logout"
    assert len(browser.fetch("get", f"{place}/sessions").json()["sessions"]) == 2
    assert links_of(browser.client.get(f"{place}/my-sessions")) == [
        f"{at}/my-sessions/others/end",
        f"{at}/logout",
        f"{at}{end}",
    ]
    for page in (end, "/my-sessions/others/end"):
        assert links_of(browser.client.get(f"{place}{page}")) == [f"{at}/my-sessions"]
        answer = browser.client.post(f"{place}{page}")
        assert answer.headers["Location"] == f"{at}/my-sessions"
    public_id = public_id_of(SessionFactory())
    assert browser.fetch("delete", f"{place}/sessions/{public_id}").status_code == 204
    assert browser.fetch("delete", f"{place}/sessions/others").json() == {"ended": 0}
    assert browser.client.get(f"{place}/login").status_code == 302
    assert browser.client.get(f"{place}/logout/callback").headers["Location"] == f"{prefix}/"
    response = browser.client.post(f"{place}/logout")
    assert browser.row is None
    list_url = browser.client.get(f"{place}/my-sessions").headers["Location"]
    assert list_url == f"/accounts/login/?next={at}/my-sessions"
    assert browser.client.post(f"{place}/backchannel-logout").status_code in (400, 404)
    return response.headers["Location"]


def test_endpoints_find_each_other(browser, place):
    assert journey(browser, place) == "/"


def test_endpoints_find_each_other_under_a_script_prefix(browser, place, settings):
    settings.FORCE_SCRIPT_NAME = "/site"
    with override_script_prefix("/site"):
        assert journey(browser, place, prefix="/site") == "/site/"


def test_provider_leads_back_to_where_the_urls_are(browser, place, configure):
    options = {"CLIENT_ID": "shop", "END_SESSION_ENDPOINT": "https://idp.example/logout"}
    configure(PROVIDERS={"https://idp.example": options})
    location = browser.client.post(f"{place}/logout").headers["Location"]
    callback = f"http%3A%2F%2Ftestserver{place}/logout/callback".replace("/", "%2F")
    assert f"post_logout_redirect_uri={callback}" in location
    token = {"logout_token": "no token"}
    assert browser.client.post(f"{place}/backchannel-logout", token).status_code == 400


def test_urlconf_of_the_request_counts(browser, settings):
    settings.MIDDLEWARE = ["tests.unit.views.test_included.choose_urlconf", *settings.MIDDLEWARE]
    settings.ROOT_URLCONF = Urls()
    assert journey(browser, "/acme/bff") == "/"


def choose_urlconf(get_response):
    def middleware(request):
        request.urlconf = PLACES["/acme/bff"]
        return get_response(request)

    return middleware


def test_pages_in_a_pattern_of_the_project_lead_to_the_include(browser, settings):
    settings.ROOT_URLCONF = Urls(
        path("account", my_sessions, name="my-sessions"),
        path("me", user),
        path("bff/", ours),
    )
    other = SessionFactory()
    assert browser.user("/me")["logout_url"] == "/bff/logout"
    assert links_of(browser.client.get("/account")) == [
        "/bff/my-sessions/others/end",
        "/bff/logout",
        f"/bff/my-sessions/{public_id_of(other)}/end",
    ]


@pytest.mark.parametrize("name", ["LOGOUT_REDIRECT_URL", None])
def test_signing_out_leads_where_the_project_says(browser, settings, name):
    settings.ROOT_URLCONF = Urls(path("bff/", ours), path("bye", HttpResponse, name="bye"))
    settings.FORCE_SCRIPT_NAME = "/site"
    if name:
        settings.LOGOUT_REDIRECT_URL = "bye"
    with override_script_prefix("/site"):
        response = browser.client.post("/bff/logout")
    assert response.headers["Location"] == ("/site/bye" if name else "/site/")


def test_anonymous_pages_fit_a_long_place(browser, settings):
    settings.ROOT_URLCONF = PLACES["/acme/bff"]
    browser.sign_in({"cart": [1]})
    response = browser.client.get(f"/{'a' * 20_000}/bff/my-sessions")
    assert response.headers["Location"] == "/accounts/login/"
    browser.sign_in(claims())
    response = browser.client.post(f"/{'a' * 20_000}/bff/logout")
    assert response.headers["Location"] == "/"
