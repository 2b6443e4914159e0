"""POST logout: here, and then at the provider."""

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db import connection
from django.http import QueryDict
from django.urls import include, path
from django.utils.encoding import iri_to_uri

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.support.endpoints import ISSUER, claims, id_token, of_django
from tests.support.targets import ELSEWHERE, LOCAL, LONG

CALLBACK = "http://testserver/bff/logout/callback"
urlpatterns = [
    path("a/", include("bff_sessions.urls", namespace="a")),
    path("bff/", include("bff_sessions.urls")),
]


@pytest.fixture
def provider(configure):
    """A provider whose end_session_endpoint is configured."""
    endpoint = f"{ISSUER}/logout"
    options = {"CLIENT_ID": "shop", "CLIENT_SECRET": "of the client"}
    configure(PROVIDERS={ISSUER: {**options, "END_SESSION_ENDPOINT": endpoint}})
    return endpoint


@pytest.fixture
def discovered(configure):
    """A provider that is asked for its configuration; a dictionary of what it says of itself."""
    document = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        document["issuer"] = f"http://127.0.0.1:{server.server_port}"
        configure(PROVIDERS={document["issuer"]: {"CLIENT_ID": "shop"}})
        yield document
        server.shutdown()
        thread.join()


def split(response):
    """Where it leads: the address, and the parameters."""
    assert response.status_code == 302
    location, _, query = response.headers["Location"].partition("?")
    return location, QueryDict(query).dict()


def has_ended(browser, key):
    return get_store().get_user_session(SessionStore(key).store_key) is None


def test_signing_out_ends_the_session_and_leads_home(browser):
    browser.sign_in()
    key = browser.client.cookies["sessionid"].value
    response = browser.sign_out()
    assert split(response) == ("/", {})
    assert response.headers["Cache-Control"] == "no-store"
    assert response.cookies["sessionid"]["max-age"] == 0
    assert has_ended(browser, key)


def test_where_it_leads_is_a_setting_of_django(browser, settings):
    settings.LOGOUT_REDIRECT_URL = "bff_sessions:login"
    browser.sign_in()
    assert split(browser.sign_out())[0] == "/bff/login"


@pytest.mark.parametrize("return_to", LOCAL)
def test_a_page_of_this_site_may_be_named(browser, return_to):
    browser.sign_in()
    response = browser.sign_out(return_to=return_to)
    assert response.headers["Location"] == iri_to_uri(return_to)


@pytest.mark.parametrize(("return_to", "target"), LONG)
def test_long_return_to_is_shortened(browser, return_to, target):
    browser.sign_in()
    expected = iri_to_uri(target or "/")
    assert browser.sign_out(return_to=return_to).headers["Location"] == expected
    assert browser.row is None
    callback = browser.request("get", "/bff/logout/callback", {"state": return_to})
    assert callback.headers["Location"] == expected


@pytest.mark.parametrize("return_to", [url for url in ELSEWHERE if "\ud800" not in url])
def test_any_other_is_passed_over_and_the_session_ends(browser, return_to):
    browser.sign_in()
    assert split(browser.sign_out(return_to=return_to)) == ("/", {})
    assert browser.row is None
    callback = browser.request("get", "/bff/logout/callback", {"state": return_to})
    assert split(callback) == ("/", {})


def test_django_hears_who_signed_out(browser):
    user = User.objects.create(username="alice")
    browser.sign_in(of_django(user))
    told = []

    def receiver(user, **kwargs):
        told.append(user)

    user_logged_out.connect(receiver)
    browser.sign_out()
    user_logged_out.disconnect(receiver)
    assert told == [user]


def test_a_form_of_another_site_signs_nobody_out(browser):
    browser.sign_in()
    for headers in ({}, {"X-CSRF": "1"}):
        assert browser.request("post", "/bff/logout", headers=headers).status_code == 403
    assert browser.request("get", "/bff/logout").status_code == 405
    assert browser.row is not None


def test_nobody_signs_out_and_keeps_what_is_in_the_cart(browser):
    browser.sign_in()
    token = browser.user()["csrf_token"]
    browser.sign_in({"cart": [1]})
    key = browser.client.cookies["sessionid"].value
    body = urlencode({"csrfmiddlewaretoken": token, "return_to": "/shop"})
    form = (body,), {"content_type": "application/x-www-form-urlencoded"}
    response = browser.request("post", "/bff/logout", *form[0], **form[1])
    assert split(response) == ("/shop", {})
    assert SessionStore(key)["cart"] == [1]
    del browser.client.cookies["sessionid"]
    assert split(browser.request("post", "/bff/logout", *form[0], **form[1])) == ("/shop", {})


def test_a_session_that_has_ended_meanwhile_is_no_fault(browser):
    browser.sign_in()
    token = browser.user()["csrf_token"]
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    body = urlencode({"csrfmiddlewaretoken": token})
    response = browser.request(
        "post", "/bff/logout", body, content_type="application/x-www-form-urlencoded"
    )
    assert split(response) == ("/", {})


def test_a_host_with_a_wrong_key_lets_the_browser_forget_its_cookie(browser, settings):
    browser.sign_in()
    row, token = browser.row, browser.user()["csrf_token"]
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": ["the key of another application, by mistake"]}
    body = urlencode({"csrfmiddlewaretoken": token})
    response = browser.request(
        "post", "/bff/logout", body, content_type="application/x-www-form-urlencoded"
    )
    assert split(response) == ("/", {})
    assert response.cookies["sessionid"]["max-age"] == 0
    # Of a host that cannot read it no session ends.
    assert get_store().get_user_session(row.key) == row


OF_ALICE = id_token(iss=ISSUER, sub="alice")


def test_the_browser_goes_on_to_the_provider(browser, provider):
    browser.sign_in(claims(id_token=OF_ALICE))
    response = browser.sign_out(return_to="/shop?a=1&b=2")
    assert split(response) == (
        provider,
        {
            "client_id": "shop",
            "id_token_hint": OF_ALICE,
            "post_logout_redirect_uri": CALLBACK,
            "state": "/shop?a=1&b=2",
        },
    )
    assert browser.row is None
    back = browser.request("get", f"{urlsplit(CALLBACK).path}?state=/shop%3Fa%3D1%26b%3D2")
    assert back.headers["Location"] == "/shop?a=1&b=2"


def test_without_id_token_and_without_return_to_neither_is_sent(browser, provider):
    browser.sign_in(claims(access_token="secret"))
    query = split(browser.sign_out())[1]
    assert query.pop("state")
    assert query == {"client_id": "shop", "post_logout_redirect_uri": CALLBACK}


@pytest.mark.parametrize("return_to", ["", "https://elsewhere.example/", "//elsewhere.example"])
def test_random_state_leads_to_the_default_target(browser, provider, return_to):
    states = set()
    for _ in range(2):
        browser.sign_in()
        states.add(split(browser.sign_out(return_to=return_to))[1]["state"])
    assert len(states) == 2
    for state in states:
        assert len(state) >= 20
        assert "elsewhere" not in state
        callback = browser.request("get", "/bff/logout/callback", {"state": state})
        assert split(callback) == ("/", {})


@pytest.mark.parametrize("size", [900, 2_100, 7_000, 8_100, 16_500, 200_000])
def test_id_token_that_is_too_long_is_left_out(browser, provider, size):
    token = f"{OF_ALICE}{'t' * (size - len(OF_ALICE))}"
    browser.sign_in(claims(id_token=token))
    response = browser.sign_out(return_to="/bye")
    location, query = split(response)
    assert location == provider
    assert query.pop("id_token_hint", None) == (token if size < 7_500 else None)
    assert query == {
        "client_id": "shop",
        "post_logout_redirect_uri": CALLBACK,
        "state": "/bye",
    }
    assert len(response.headers["Location"]) <= 8_000
    assert browser.row is None


def test_hint_is_left_out_before_return_to(browser, provider):
    return_to = "/?" + 2_000 * "&"
    browser.sign_in(claims(id_token="t" * 2_000))
    query = split(browser.sign_out(return_to=return_to))[1]
    assert "id_token_hint" not in query
    assert query["state"] == return_to


def test_return_to_is_left_out_where_the_endpoint_is_long(browser, provider, configure):
    endpoint = f"{provider}?p={2_500 * 'p'}"
    configure(PROVIDERS={ISSUER: {"CLIENT_ID": "shop", "END_SESSION_ENDPOINT": endpoint}})
    browser.sign_in(claims(id_token="t"))
    location, query = split(browser.sign_out(return_to="/?" + 2_000 * "&"))
    assert location == provider
    assert not query["state"].startswith("/")
    assert query["client_id"] == "shop"


@pytest.mark.parametrize("size", [8_000, 20_000])
def test_endpoint_that_is_too_long_leads_home(browser, provider, configure, caplog, size):
    endpoint = f"{provider}?p={size * 'p'}"
    configure(PROVIDERS={ISSUER: {"CLIENT_ID": "shop", "END_SESSION_ENDPOINT": endpoint}})
    browser.sign_in(claims(id_token="of alice"))
    assert split(browser.sign_out(return_to="/bye")) == ("/bye", {})
    assert browser.row is None
    assert "not at the provider" in caplog.text
    assert "of alice" not in caplog.text


def end_of(browser, end):
    """End the session of `browser` here; return the form that signs out."""
    browser.sign_in()
    token = browser.user()["csrf_token"]
    if end == "revoked":
        revoke_sessions(UserSessionsFilter(subject_id="alice"))
    elif end == "anonymous":
        browser.sign_in({"cart": [1]})
    else:
        del browser.client.cookies["sessionid"]
    return urlencode({"csrfmiddlewaretoken": token, "return_to": "/bye"})


@pytest.mark.parametrize("end", ["revoked", "anonymous", "without cookie"])
def test_session_that_ended_here_ends_at_the_only_provider(browser, provider, end):
    body = end_of(browser, end)
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert split(browser.request("post", "/bff/logout", body, **form)) == (
        provider,
        {"client_id": "shop", "post_logout_redirect_uri": CALLBACK, "state": "/bye"},
    )
    if end == "anonymous":
        assert SessionStore(browser.client.cookies["sessionid"].value)["cart"] == [1]


@pytest.mark.parametrize("end", ["revoked", "anonymous", "without cookie"])
@pytest.mark.parametrize("number", [0, 2])
def test_without_a_single_provider_it_ends_here_only(browser, configure, end, number):
    issuers = [f"https://idp{i}.example" for i in range(number)]
    options = {"CLIENT_ID": "shop", "END_SESSION_ENDPOINT": f"{ISSUER}/logout"}
    configure(PROVIDERS=dict.fromkeys(issuers, options))
    body = end_of(browser, end)
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert split(browser.request("post", "/bff/logout", body, **form)) == ("/bye", {})


def test_only_provider_that_is_down_is_no_fault(browser, configure):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    configure(PROVIDERS={issuer: {"CLIENT_ID": "shop"}})
    body = end_of(browser, "without cookie")
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert split(browser.request("post", "/bff/logout", body, **form)) == ("/bye", {})


@pytest.mark.parametrize(
    "token",
    [
        None,
        1,
        {"a": "b"},
        ["x"],
        "of alice",
        OF_ALICE + "==",
        # A JWE has five parts. RP-Initiated Logout 1.0, 2: it must be decrypted first.
        f"{OF_ALICE}.dGFn.dGFn",
        "gAAAAABl" + "x" * 80,
        id_token(iss="https://other.example", sub="alice"),
    ],
)
@pytest.mark.parametrize("place", ["claims", "mozilla-django-oidc"])
def test_what_is_no_id_token_is_not_sent(browser, provider, token, place):
    binding = {"_bff_identity": {"iss": ISSUER, "sub": "alice", "sid": "s1"}}
    in_session = claims(id_token=token) if place == "claims" else {"oidc_id_token": token}
    browser.sign_in(in_session | binding)
    assert "id_token_hint" not in split(browser.sign_out())[1]


def test_an_id_token_goes_to_its_issuer_only(browser, provider):
    binding = {"_bff_identity": {"iss": ISSUER, "sub": "alice", "sid": "s1"}}
    others = claims(issuer="https://other.example", id_token="of another provider")
    browser.sign_in({**others, **binding})
    location, query = split(browser.sign_out())
    assert location == provider
    assert "id_token_hint" not in query


def test_the_id_token_of_mozilla_django_oidc_goes_to_its_issuer_only(browser, provider):
    token = id_token(iss=ISSUER, sub="alice")
    browser.sign_in({"oidc_id_token": token})
    assert split(browser.sign_out())[1]["id_token_hint"] == token
    binding = {"_bff_identity": {"iss": ISSUER, "sub": "alice", "sid": "s1"}}
    for other in (id_token(iss="https://other.example", sub="alice"), "no token", 1):
        browser.sign_in({"oidc_id_token": other, **binding})
        assert "id_token_hint" not in split(browser.sign_out())[1]


def test_the_id_token_is_found_where_the_project_keeps_it(browser, provider, configure, settings):
    configure(CLAIMS_KEY="id_claims", PROVIDERS=settings.BFF_SESSIONS["PROVIDERS"])
    browser.sign_in({"id_claims": claims(id_token=OF_ALICE)["oidc"]})
    assert split(browser.sign_out())[1]["id_token_hint"] == OF_ALICE


def test_neither_sid_nor_secret_is_told(browser, provider):
    browser.sign_in(claims(session_id="secret-sid", access_token="secret", refresh_token="secret"))
    response = browser.sign_out()
    assert "secret" not in response.headers["Location"]
    assert "of the client" not in response.headers["Location"]
    assert response.content == b""


def test_parameters_that_the_address_has_stay(browser, provider, configure):
    endpoint = f"{provider}?p=policy"
    configure(PROVIDERS={ISSUER: {"CLIENT_ID": "shop", "END_SESSION_ENDPOINT": endpoint}})
    browser.sign_in()
    location, query = split(browser.sign_out())
    assert (location, query["p"], query["client_id"]) == (provider, "policy", "shop")


@pytest.mark.parametrize("issuer", ["https://other.example", None])
def test_who_signed_in_elsewhere_signs_out_here(browser, provider, issuer):
    user = User.objects.create(username="alice")
    browser.sign_in(claims(issuer=issuer) if issuer else of_django(user))
    assert split(browser.sign_out()) == ("/", {})
    assert browser.row is None


def test_the_provider_is_asked_for_its_address(browser, discovered):
    discovered["end_session_endpoint"] = f"{discovered['issuer']}/session/end"
    token = id_token(iss=discovered["issuer"], sub="alice")
    browser.sign_in(claims(issuer=discovered["issuer"], id_token=token))
    location, query = split(browser.sign_out())
    assert location == discovered["end_session_endpoint"]
    assert query["id_token_hint"] == token


@pytest.mark.parametrize("endpoint", [None, ""])
def test_provider_without_endpoint_leads_home_silently(browser, discovered, caplog, endpoint):
    discovered["end_session_endpoint"] = endpoint
    browser.sign_in(claims(issuer=discovered["issuer"], id_token="of alice"))
    with caplog.at_level(logging.INFO, "bff_sessions.oidc"):
        assert split(browser.sign_out(return_to="/bye")) == ("/bye", {})
    assert browser.row is None
    assert "not at the provider" not in caplog.text


def test_provider_with_none_for_endpoint_leads_home(browser, configure, caplog):
    configure(PROVIDERS={ISSUER: {"CLIENT_ID": "shop", "END_SESSION_ENDPOINT": None}})
    browser.sign_in(claims(id_token="of alice"))
    assert split(browser.sign_out(return_to="/bye")) == ("/bye", {})
    assert browser.row is None
    assert "not at the provider" not in caplog.text


@pytest.mark.parametrize("endpoint", ["javascript:alert(1)", "//elsewhere", 1])
def test_a_provider_without_address_leads_home(browser, discovered, caplog, endpoint):
    discovered["end_session_endpoint"] = endpoint
    browser.sign_in(claims(issuer=discovered["issuer"], id_token=OF_ALICE))
    with caplog.at_level(logging.WARNING, "bff_sessions.oidc"):
        assert split(browser.sign_out(return_to="/bye")) == ("/bye", {})
    assert browser.row is None
    assert "not at the provider" in caplog.text
    assert OF_ALICE not in caplog.text


def test_a_provider_that_is_down_keeps_no_session_alive(browser, configure, caplog):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    configure(PROVIDERS={issuer: {"CLIENT_ID": "shop"}})
    browser.sign_in(claims(issuer=issuer, id_token=OF_ALICE))
    key = browser.client.cookies["sessionid"].value
    assert split(browser.sign_out(return_to="/bye")) == ("/bye", {})
    assert has_ended(browser, key)
    assert "not at the provider" in caplog.text


def test_nothing_that_fails_afterwards_keeps_the_session_alive(browser, settings, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    settings.LOGOUT_REDIRECT_URL = "no-such-name"
    browser.client.raise_request_exception = False
    browser.sign_in()
    key = browser.client.cookies["sessionid"].value
    assert browser.sign_out().status_code == 500
    assert has_ended(browser, key)


@pytest.mark.urls("tests.unit.views.test_logout")
def test_under_another_prefix_and_namespace_the_addresses_are_right(browser, provider):
    browser.sign_in()
    response = browser.fetch("get", "/a/user")
    assert response.json()["logout_url"] == "/a/logout"
    body = urlencode({"csrfmiddlewaretoken": response.json()["csrf_token"]})
    response = browser.request(
        "post", "/a/logout", body, content_type="application/x-www-form-urlencoded"
    )
    uri = split(response)[1]["post_logout_redirect_uri"]
    assert uri == "http://testserver/a/logout/callback"


def test_statements(browser, provider, django_assert_num_queries):
    browser.sign_in({**claims(), **of_django(User.objects.create(username="alice"))})
    body = urlencode({"csrfmiddlewaretoken": browser.user()["csrf_token"]})
    form = {"content_type": "application/x-www-form-urlencoded"}
    # The session, the user; its end, as others are ended, with a savepoint for its tokens; and what
    # the request knows of it.
    with django_assert_num_queries(13 if connection.vendor == "sqlite" else 12):
        browser.request("post", "/bff/logout", body, **form)
