"""mozilla-django-oidc: its own views, and our callback."""

import time

import jwt
import pytest
import requests
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.exceptions import BadRequest
from django.http import Http404
from django.test import Client
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from bff_sessions.adapters import mozilla
from bff_sessions.models import Session
from bff_sessions.oidc.tokens import keep_tokens
from tests.support.adapters import Journeys, TokenJourneys, make_user, rows
from tests.support.provider import KEYS


class Mozilla(Journeys):
    begin = "/oidc/authenticate/"
    method = "get"
    callback = "oidc_authentication_callback"

    @pytest.fixture(autouse=True)
    def _endpoints(self, project, provider):
        project.OIDC_OP_AUTHORIZATION_ENDPOINT = f"{provider.issuer}/authorize"
        project.OIDC_OP_TOKEN_ENDPOINT = f"{provider.issuer}/token"
        project.OIDC_OP_USER_ENDPOINT = f"{provider.issuer}/userinfo"
        project.OIDC_OP_JWKS_ENDPOINT = f"{provider.issuer}/keys"
        project.OIDC_AUTHENTICATION_CALLBACK_URL = self.callback

    def test_a_local_user_who_signs_in_at_the_provider_gets_a_new_key(self, browser, provider):
        # Without a signal, and without a new key from the library.
        make_user("alice")
        browser.sign_in_locally("alice")
        before = browser.session_key
        browser.sign_in("alice", "s1")
        assert rows() == [(provider.issuer, "alice", "s1")]
        assert browser.session_key != before
        old = Client()
        old.cookies["sessionid"] = before
        assert old.get("/").content == b""
        assert browser.who() == "alice"

    def test_a_token_that_has_expired_still_says_whose_session_it_is(self, browser, provider):
        browser.sign_in("alice", "s1")
        session = browser.client.session
        claims = {"sub": "alice", "sid": "s1", "exp": int(time.time()) - 3600}
        session["oidc_id_token"] = provider.sign_id_token(claims)
        session.save()
        with pytest.raises(jwt.ExpiredSignatureError):
            jwt.decode(
                session["oidc_id_token"],
                KEYS["RS256"].public_key(),
                algorithms=["RS256"],
                audience="shop",
            )
        assert browser.who()
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_without_the_id_token_the_session_is_visible(self, browser, project):
        project.OIDC_STORE_ID_TOKEN = False
        browser.sign_in("alice", "s1")
        ((issuer, subject_id, _),) = rows()
        assert (issuer, subject_id) == (None, str(User.objects.get().pk))
        assert len(self.warnings()) == 1
        assert "bff_sessions.W030" in [message.id for message in run_checks()]

    def test_with_the_id_token_there_is_nothing_to_check(self):
        assert "bff_sessions.W030" not in [message.id for message in run_checks()]


class TestOurCallback(Mozilla, TokenJourneys):
    def test_another_user_over_a_live_session_has_an_identity_of_their_own(self, browser, provider):
        browser.sign_in("alice", "s1")
        browser.sign_in("bob", "s2")
        assert rows() == [(provider.issuer, "bob", "s2")]
        assert browser.who() == User.objects.get(email="bob@shop.example").username
        assert self.warnings() == []
        assert "oidc_id_token" in browser.client.session

    def test_who_is_refused_leaves_the_session_to_its_user(self, browser, project, provider):
        project.OIDC_STORE_ACCESS_TOKEN = True
        browser.sign_in("alice", "s1")
        tokens = dict(browser.client.session.items())
        project.OIDC_CREATE_USER = False
        browser.sign_in("bob", "s2")
        assert browser.who() == User.objects.get().username
        assert rows() == [(provider.issuer, "alice", "s1")]
        for name in ("oidc_id_token", "oidc_access_token"):
            assert browser.client.session[name] == tokens[name]

    def test_who_is_refused_leaves_nothing_in_an_anonymous_session(self, browser, project):
        project.OIDC_CREATE_USER = False
        browser.sign_in("bob", "s2")
        assert rows() == []
        assert "oidc_id_token" not in browser.client.session

    def test_an_error_of_the_provider_signs_out(self, browser):
        browser.sign_in("alice", "s1")
        browser.client.get("/oidc/callback/?error=login_required&state=1")
        assert browser.who() == ""
        assert rows() == []
        assert "oidc_id_token" not in browser.client.session

    def test_failed_sign_in_restores_all_tokens(self, browser, project):
        browser.sign_in("alice", "s1")
        before = keep_tokens(browser.client.session)
        project.OIDC_CREATE_USER = False
        browser.sign_in("bob", "s2")
        assert keep_tokens(browser.client.session) == before

    @pytest.mark.parametrize("error", [Http404, BadRequest])
    def test_backend_that_raises_leaves_the_tokens_to_their_user(
        self, browser, project, monkeypatch, error
    ):
        browser.sign_in("alice", "s1")
        before = keep_tokens(browser.client.session)
        project.AUTHENTICATION_BACKENDS = [f"{__name__}.RefusingBackend"]
        monkeypatch.setattr(RefusingBackend, "error", error)
        browser.sign_in("bob", "s2")
        assert keep_tokens(browser.client.session) == before

    def test_error_after_the_sign_in_restores_no_tokens_of_before(self, browser, monkeypatch):
        def fail(view):
            raise Http404

        browser.sign_in("alice", "s1")
        alices = keep_tokens(browser.client.session)
        monkeypatch.setattr(mozilla.CallbackView, "_keep_response", fail)
        browser.sign_in("bob", "s2")
        tokens = keep_tokens(browser.client.session)
        assert tokens.access_token != alices.access_token
        assert tokens.refresh_token is None

    def test_response_that_says_nothing_is_passed_on(self):
        assert mozilla._remember(lambda backend, payload: payload)(None, "text") == "text"
        assert mozilla._issuer_of(None) is None

    def test_tokens_are_stored_only_with_the_access_token(self, browser, project):
        project.OIDC_STORE_ACCESS_TOKEN = False
        browser.sign_in("alice", "s1")
        tokens = [name for name, _ in browser.client.session.items() if "token" in name]
        assert sorted(tokens) == ["oidc_id_token", "oidc_id_token_expiration"]
        assert browser.get_token().status_code == 401

    def test_id_token_is_stored_only_by_its_setting(self, browser, project):
        project.OIDC_STORE_ID_TOKEN = False
        browser.sign_in("alice", "s1")
        assert "oidc_id_token" not in browser.client.session
        assert keep_tokens(browser.client.session).refresh_token is not None

    def test_refresh_token_is_encrypted_with_the_key_of_django_lasuite(self, browser, project):
        project.OIDC_STORE_REFRESH_TOKEN_KEY = Fernet.generate_key()
        browser.sign_in("alice", "s1")
        assert browser.client.session["oidc_refresh_token"].startswith("gAAAAA")
        browser.expire()
        assert browser.get_token().status_code == 200

    def test_scope_is_the_requested_one_if_the_response_has_none(self, browser):
        browser.sign_in("alice", "s1")
        assert keep_tokens(browser.client.session).scope == "openid email"

    def test_unreadable_expiry_leaves_no_tokens_of_before(self, browser, provider, monkeypatch):
        browser.sign_in("alice", "s1")
        monkeypatch.setattr(provider, "expires_in", "an hour")
        browser.sign_in("alice", "s2")
        assert browser.who()
        assert "oidc_refresh_token" not in browser.client.session
        assert browser.get_token().status_code == 401
        assert any("were not stored at sign-in" in error for error in self.errors())

    def test_backend_that_hides_the_response_asks_to_sign_in(self, browser, project):
        project.AUTHENTICATION_BACKENDS = [f"{__name__}.SecretiveBackend"]
        browser.sign_in("alice", "s1")
        assert browser.who()
        assert browser.get_token().status_code == 401

    @pytest.mark.parametrize("why", ["hidden response", "no access token", "unreadable"])
    def test_another_user_does_not_get_tokens_of_before(
        self, browser, project, provider, monkeypatch, why
    ):
        browser.sign_in("alice", "s1")
        alices = "unreadable" if why == "unreadable" else "alice's"
        session = browser.client.session
        session["oidc_refresh_token"] = alices
        session.save()
        monkeypatch.setattr(provider, "issues_refresh_tokens", False)
        if why == "hidden response":
            project.AUTHENTICATION_BACKENDS = [f"{__name__}.SecretiveBackend"]
        elif why == "no access token":
            project.OIDC_STORE_ACCESS_TOKEN = False
        else:
            project.OIDC_STORE_REFRESH_TOKEN_KEY = Fernet.generate_key()
        browser.sign_in("bob", "s2")
        assert rows() == [(provider.issuer, "bob", "s2")]
        assert "oidc_refresh_token" not in browser.client.session
        assert "oidc_id_token" in browser.client.session

    def test_check_finds_our_view(self, project):
        assert "bff_sessions.W033" not in [message.id for message in run_checks()]


class RefusingBackend(OIDCAuthenticationBackend):
    """A backend of a project that refuses a user by an error."""

    error = None

    def create_user(self, claims):
        raise self.error


class SecretiveBackend(OIDCAuthenticationBackend):
    """A backend of a project that exchanges the code by itself."""

    def get_token(self, payload):
        return requests.post(self.OIDC_OP_TOKEN_ENDPOINT, data=payload, timeout=5).json()


class TestPlainCallback(Mozilla):
    callback = "plain"

    def test_access_token_without_expiry_asks_to_sign_in(self, browser, provider):
        browser.sign_in("alice", "s1")
        assert provider.is_valid(browser.client.session["oidc_access_token"])
        assert browser.get_token().status_code == 401
        (error,) = self.errors()
        assert provider.issuer in error
        assert "CallbackView" in error

    @pytest.mark.parametrize(
        "view", [None, "mozilla_django_oidc.views.OIDCAuthenticationCallbackView"]
    )
    def test_check_says_that_the_expiry_is_not_stored(self, project, view):
        project.OIDC_CALLBACK_CLASS = view
        (found,) = [message for message in run_checks() if message.id == "bff_sessions.W033"]
        assert "bff_sessions.adapters.mozilla.CallbackView" in found.hint
        project.OIDC_STORE_ACCESS_TOKEN = False
        assert "bff_sessions.W033" not in [message.id for message in run_checks()]

    def test_another_user_over_a_live_session_is_visible(self, browser):
        browser.sign_in("alice", "s1")
        browser.sign_in("bob", "s2")
        bob = User.objects.get(email="bob@shop.example")
        assert browser.who() == bob.username
        (session,) = Session.objects.exclude(subject_id=None)
        assert (session.issuer, session.user_id) == (None, str(bob.pk))
        (warning,) = self.warnings()
        assert f"User {bob.pk} " in warning
