"""What holds with every library; each module of tests adds what its own does differently."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.identity import resolve_identity
from bff_sessions.models import Session
from bff_sessions.oidc import log
from bff_sessions.oidc.tokens import keep_tokens
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store

PAST = datetime(2020, 1, 1, tzinfo=UTC)
PASSWORD = "correct horse battery staple"


class Browser:
    """A browser that signs in through the views of a library."""

    def __init__(self, provider, begin, method):
        self.client, self.provider = Client(), provider
        self.begin, self.method = begin, method

    def sign_in(self, sub, sid=None):
        response = getattr(self.client, self.method)(self.begin)
        assert response.status_code == 302, response.content
        return self.client.get(self.provider.authorize(response["Location"], sub=sub, sid=sid))

    def sign_in_locally(self, username):
        response = self.client.post("/local/", {"username": username, "password": PASSWORD})
        assert response.status_code == 302, response.content

    def who(self):
        """The name of the signed-in user; saves the session."""
        return self.client.get("/").content.decode()

    def get_token(self):
        """The answer of a view that calls get_access_token()."""
        return self.client.get("/token/")

    def get_claims(self):
        """The claims that a front end sees."""
        return self.client.get("/bff/user", headers={"X-CSRF": "1"}).json()["claims"]

    def expire(self):
        """Let the access token in the session expire."""
        session = self.client.session
        keep_tokens(session, replace(keep_tokens(session), expires_at=PAST))
        session.save()

    @property
    def session_key(self):
        return self.client.cookies["sessionid"].value


def make_user(username, **fields):
    email = f"{username}@shop.example"
    return User.objects.create_user(username, email=email, password=PASSWORD, **fields)


def rows():
    """Issuer, subject and sid of everybody who is signed in."""
    found = Session.objects.exclude(subject_id=None).order_by("id")
    return list(found.values_list("issuer", "subject_id", "session_id"))


@pytest.mark.django_db
class Journeys:
    begin: str
    method = "post"

    @pytest.fixture(autouse=True)
    def _log(self, caplog, monkeypatch):
        caplog.set_level(logging.WARNING, "bff_sessions.identity")
        self.caplog = caplog
        monkeypatch.setattr(log, "_reported", {})

    @pytest.fixture
    def open_browser(self, project, provider):
        return lambda: Browser(provider, self.begin, self.method)

    @pytest.fixture
    def browser(self, open_browser):
        return open_browser()

    def errors(self):
        return [
            record.getMessage()
            for record in self.caplog.records
            if record.name == "bff_sessions.oidc"
        ]

    def warnings(self):
        return [
            record.getMessage()
            for record in self.caplog.records
            if record.name == "bff_sessions.identity"
        ]

    def test_signing_in_puts_issuer_sub_and_sid_into_the_row(self, browser, provider):
        browser.sign_in("alice", "s1")
        user = User.objects.get()
        assert browser.who() == user.username
        assert rows() == [(provider.issuer, "alice", "s1")]
        assert Session.objects.get(subject_id="alice").user_id == str(user.pk)
        assert self.warnings() == []

    def test_a_provider_without_sid_will_do(self, browser, provider):
        browser.sign_in("alice")
        ((issuer, subject_id, session_id),) = rows()
        assert (issuer, subject_id) == (provider.issuer, "alice")
        assert session_id  # Of our own making.

    def test_the_session_knows_when_the_user_signed_in_at_the_provider(self, browser, provider):
        # By this, a logout of all that the subject has spares those who sign in after it.
        browser.sign_in("alice", "s1")
        identity = resolve_identity(browser.client.session)
        assert identity.auth_time == provider.auth_time

    def test_signing_in_moves_the_session_to_a_new_key(self, browser):
        browser.who()
        before = browser.session_key
        browser.sign_in("alice", "s1")
        old = Client()
        old.cookies["sessionid"] = before
        assert old.get("/").content == b""

    def test_signing_in_again_brings_the_new_sid(self, browser, provider):
        browser.sign_in("alice", "s1")
        browser.sign_in("alice", "s2")
        assert browser.who() == User.objects.get().username
        assert rows() == [(provider.issuer, "alice", "s2")]

    def test_each_browser_keeps_its_own_sid(self, open_browser, provider):
        first, second = open_browser(), open_browser()
        first.sign_in("alice", "s1")
        second.sign_in("alice", "s2")
        first.who()
        second.who()
        assert rows() == [(provider.issuer, "alice", "s1"), (provider.issuer, "alice", "s2")]

    def test_the_provider_ends_the_right_session(self, open_browser, provider):
        first, second = open_browser(), open_browser()
        first.sign_in("alice", "s1")
        second.sign_in("alice", "s2")
        revoke_sessions(UserSessionsFilter(session_id="s1", issuer=provider.issuer))
        assert first.who() == ""
        assert second.who() == User.objects.get().username

    def test_after_signing_out_the_next_user_has_an_identity_of_their_own(self, browser, provider):
        browser.sign_in("alice", "s1")
        browser.client.logout()
        browser.sign_in("bob", "s2")
        assert rows() == [(provider.issuer, "bob", "s2")]

    def test_who_signs_in_by_a_local_password_is_visible(self, browser):
        user = make_user("operator", is_staff=True, is_superuser=True)
        browser.sign_in_locally("operator")
        assert browser.who() == browser.who() == "operator"
        (session,) = Session.objects.filter(issuer=None, user_id=str(user.pk))
        (warning,) = self.warnings()
        assert f"User {user.pk} " in warning
        assert get_store().get_user_session(session.key).public_id in warning
        page = browser.client.get("/admin/bff_sessions/session/?provider=without")
        assert [found.pk for found in page.context["cl"].queryset] == [session.pk]
        page = browser.client.get("/admin/bff_sessions/session/?provider=with")
        assert not page.context["cl"].queryset.exists()

    def test_no_warning_tells_a_secret(self, browser):
        make_user("operator")
        browser.sign_in_locally("operator")
        (warning,) = self.warnings()
        session = Session.objects.get(issuer=None, user_id__isnull=False)
        assert session.key not in warning
        assert browser.session_key not in warning

    @pytest.fixture
    def pay(self, browser, provider, project, monkeypatch):
        """Sign alice in an hour ago; return a function that opens a page for recent sign-ins."""
        project.BFF_SESSIONS = {**project.BFF_SESSIONS, "LOGIN_URL": self.begin}
        monkeypatch.setattr(provider, "auth_time", int(time.time()) - 3600)
        monkeypatch.setattr(provider, "more_claims", {"acr": "urn:weak"})
        browser.sign_in("alice", "s1")
        return lambda: browser.client.get("/pay/", headers={"Sec-Fetch-Mode": "navigate"})

    def lead_to_provider(self, browser, page):
        assert page.status_code == 302
        assert page["Location"].startswith(self.begin)
        wanted = dict(parse_qsl(urlsplit(page["Location"]).query))["next"]
        # A page with a form posts to the same URL.
        form = {"next": wanted} if self.method == "post" else None
        begun = getattr(browser.client, self.method)(page["Location"], form)
        query = dict(parse_qsl(urlsplit(begun["Location"]).query))
        demand = {"prompt": "login", "max_age": "300", "acr_values": "urn:strong"}
        assert demand.items() <= query.items()
        return begun["Location"]

    def come_back(self, browser, provider, url):
        """Let the provider sign alice in, and follow the redirect of the login library."""
        back = browser.client.get(provider.authorize(url, sub="alice", sid="s1"))
        return browser.client.get(back["Location"], headers={"Sec-Fetch-Mode": "navigate"})

    def test_recent_sign_in_is_asked_of_the_provider(self, browser, provider, pay, monkeypatch):
        url = self.lead_to_provider(browser, pay())
        monkeypatch.setattr(provider, "auth_time", int(time.time()))
        monkeypatch.setattr(provider, "more_claims", {"acr": "urn:strong"})
        marked = self.come_back(browser, provider, url)
        assert (marked.status_code, marked["Location"]) == (302, "/pay/")
        page = pay()
        assert (page.status_code, page.content) == (200, b"paid")
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_provider_that_does_not_ask_the_user_lets_nobody_in(self, browser, provider, pay):
        url = self.lead_to_provider(browser, pay())
        assert self.come_back(browser, provider, url).status_code == 403


class TokenJourneys(Journeys):
    """What holds where the adapter stores the tokens."""

    def test_sign_in_stores_all_tokens(self, browser, provider):
        browser.sign_in("alice", "s1")
        tokens = keep_tokens(browser.client.session)
        assert provider.is_valid(tokens.access_token)
        assert tokens.refresh_token in provider.refresh_tokens
        left = tokens.expires_at.timestamp() - time.time()
        assert provider.expires_in - 30 < left <= provider.expires_in
        assert provider.expires_in - 30 < tokens.expires_in <= provider.expires_in
        assert "openid" in tokens.scope.split()
        assert self.errors() == []

    def test_access_token_is_returned_after_sign_in(self, browser, provider):
        browser.sign_in("alice", "s1")
        response = browser.get_token()
        assert (response.status_code, provider.refreshed) == (200, [])
        assert provider.is_valid(response.content.decode())

    def test_expired_access_token_is_refreshed(self, browser, provider):
        browser.sign_in("alice", "s1")
        old = browser.get_token().content
        for times in (1, 2):  # The refresh token rotates.
            browser.expire()
            response = browser.get_token()
            assert response.status_code == 200
            assert response.content != old
            assert provider.is_valid(response.content.decode())
            assert len(provider.refreshed) == times
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_expired_access_token_without_refresh_token_asks_to_sign_in(
        self, browser, provider, monkeypatch
    ):
        monkeypatch.setattr(provider, "issues_refresh_tokens", False)
        browser.sign_in("alice", "s1")
        assert browser.get_token().status_code == 200
        browser.expire()
        assert browser.get_token().status_code == 401
        assert browser.who() == User.objects.get().username

    def test_provider_may_leave_out_the_expiry(self, browser, provider, monkeypatch):
        monkeypatch.setattr(provider, "expires_in", None)
        browser.sign_in("alice", "s1")
        assert keep_tokens(browser.client.session).expires_at is None
        assert browser.get_token().status_code == 200
        assert self.errors() == []

    def test_next_sign_in_replaces_all_tokens(self, browser, provider, monkeypatch):
        browser.sign_in("alice", "s1")
        old = keep_tokens(browser.client.session)
        monkeypatch.setattr(provider, "issues_refresh_tokens", False)
        browser.sign_in("alice", "s2")
        new = keep_tokens(browser.client.session)
        assert old.refresh_token is not None
        assert new.refresh_token is None
        assert new.access_token != old.access_token

    def test_front_end_sees_a_name(self, browser, provider, monkeypatch):
        monkeypatch.setattr(provider, "more_claims", {"preferred_username": "alice"})
        browser.sign_in("alice", "s1")
        claims = browser.get_claims()
        assert (claims["iss"], claims["sub"]) == (provider.issuer, "alice")
        assert claims["preferred_username"] == "alice"
