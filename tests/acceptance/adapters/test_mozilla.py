"""mozilla-django-oidc: its own views, and our callback."""

import time

import jwt
import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.test import Client

from bff_sessions.models import Session
from tests.support.adapters import Journeys, make_user, rows
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


class TestOurCallback(Mozilla):
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


class TestPlainCallback(Mozilla):
    callback = "plain"

    def test_another_user_over_a_live_session_is_visible(self, browser):
        browser.sign_in("alice", "s1")
        browser.sign_in("bob", "s2")
        bob = User.objects.get(email="bob@shop.example")
        assert browser.who() == bob.username
        (session,) = Session.objects.exclude(subject_id=None)
        assert (session.issuer, session.user_id) == (None, str(bob.pk))
        (warning,) = self.warnings()
        assert f"User {bob.pk} " in warning
