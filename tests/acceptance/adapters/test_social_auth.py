"""social-auth-app-django with social_core's backend for OpenID Connect."""

import time

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import run_checks
from django.test import Client, RequestFactory
from social_core.backends.github import GithubOAuth2
from social_core.exceptions import AuthException
from social_core.pipeline.partial import partial
from social_django.models import UserSocialAuth
from social_django.utils import load_strategy

from bff_sessions.adapters.social_auth import copy_claims
from bff_sessions.engine import SessionStore
from bff_sessions.oidc.tokens import keep_tokens
from tests.support.adapters import PASSWORD, TokenJourneys, make_user, rows


@partial
def ask_once(strategy, *args, **kwargs):
    """A step of the pipeline that sends the user elsewhere, and lets them pass when they return."""
    if not strategy.session_get("asked"):
        strategy.session_set("asked", True)
        return strategy.redirect("/?asked")
    return None


class TestSocialAuth(TokenJourneys):
    begin = "/login/oidc/"

    @pytest.fixture(autouse=True)
    def _endpoint(self, project, provider):
        project.SOCIAL_AUTH_OIDC_OIDC_ENDPOINT = provider.issuer

    def test_signing_in_again_without_a_signal_brings_the_new_sid(self, browser, provider):
        browser.sign_in("alice", "s1")
        browser.client.logout()
        user = User.objects.get()
        user.set_password(PASSWORD)
        user.save()
        browser.sign_in_locally("alice")
        before = browser.session_key
        browser.sign_in("alice", "s2")
        assert rows() == [(provider.issuer, "alice", "s2")]
        old = Client()
        old.cookies["sessionid"] = before
        assert old.get("/").content == b""
        assert browser.who() == "alice"

    def test_another_user_over_a_live_session_is_refused(self, open_browser, provider):
        browser, other = open_browser(), open_browser()
        browser.sign_in("alice", "s1")
        other.sign_in("bob", "s2")
        with pytest.raises(AuthException):
            browser.sign_in("bob", "s3")
        assert browser.who() == "alice"
        assert rows() == [(provider.issuer, "alice", "s1"), (provider.issuer, "bob", "s2")]

    def test_connecting_an_account_is_no_sign_in(self, browser, provider):
        browser.sign_in("alice", "s1")
        browser.sign_in("alice-at-work", "s2")
        assert {social.user.username for social in UserSocialAuth.objects.all()} == {"alice"}
        assert UserSocialAuth.objects.count() == 2
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_connecting_an_account_leaves_a_local_session_visible(self, browser):
        user = make_user("carol")
        browser.sign_in_locally("carol")
        browser.sign_in("alice", "s1")
        assert UserSocialAuth.objects.get().user == user
        ((issuer, subject_id, _),) = rows()
        assert (issuer, subject_id) == (None, str(user.pk))

    def test_an_inactive_user_who_is_refused_leaves_nothing(self, browser):
        browser.sign_in("alice", "s1")
        browser.client.logout()
        User.objects.update(is_active=False)
        browser.sign_in("alice", "s2")
        assert browser.who() == ""
        assert rows() == []

    def test_the_account_of_the_user_is_not_asked(self, open_browser):
        first, second = open_browser(), open_browser()
        first.sign_in("alice", "s1")
        second.sign_in("alice", "s2")
        assert UserSocialAuth.objects.count() == 1
        assert first.client.session["oidc"]["sid"] == "s1"

    def test_claims_arrive_after_a_step_in_between(self, browser, project, provider):
        pipeline = project.SOCIAL_AUTH_PIPELINE
        project.SOCIAL_AUTH_PIPELINE = [*pipeline[:-1], f"{__name__}.ask_once", pipeline[-1]]
        response = browser.sign_in("alice", "s1")
        assert response["Location"] == "/?asked"
        assert browser.who() == ""
        assert rows() == []
        browser.client.get("/complete/oidc/")
        assert browser.who() == "alice"
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_name_may_come_from_userinfo_alone(self, browser):
        browser.sign_in("alice", "s1")
        assert browser.get_claims()["preferred_username"] == "alice"

    def test_tokens_arrive_after_a_step_in_between(self, browser, project, provider, monkeypatch):
        pipeline = project.SOCIAL_AUTH_PIPELINE
        project.SOCIAL_AUTH_PIPELINE = [*pipeline[:-1], f"{__name__}.ask_once", pipeline[-1]]
        browser.sign_in("alice", "s1")
        # The user takes their time to answer.
        now = time.time()
        monkeypatch.setattr("bff_sessions.adapters.social_auth.time.time", lambda: now + 120)
        browser.client.get("/complete/oidc/")
        tokens = keep_tokens(browser.client.session)
        assert tokens.expires_at.timestamp() <= now + provider.expires_in
        assert browser.get_token().status_code == 200
        assert tokens.refresh_token is not None

    def test_unreadable_expiry_lets_the_user_sign_in(self, browser, provider, monkeypatch):
        monkeypatch.setattr(provider, "expires_in", "an hour")
        browser.sign_in("alice", "s1")
        assert browser.who() == "alice"
        assert browser.get_token().status_code == 401
        (error,) = self.errors()
        assert provider.issuer in error
        assert "an hour" not in error

    def test_a_backend_of_another_protocol_leaves_no_claims(self):
        request = RequestFactory().get("/")
        request.session, request.user = SessionStore(), AnonymousUser()
        strategy = load_strategy(request)
        copy_claims(GithubOAuth2(strategy), strategy, make_user("alice"))
        assert "oidc" not in request.session

    def test_who_is_no_user_leaves_no_claims(self, browser, project):
        # A pipeline that creates none: social_core then calls the last step without.
        create = "social_core.pipeline.user.create_user"
        pipeline = project.SOCIAL_AUTH_PIPELINE
        project.SOCIAL_AUTH_PIPELINE = [step for step in pipeline if step != create]
        browser.sign_in("alice", "s1")
        assert browser.who() == ""
        assert rows() == []

    def test_without_the_step_a_check_says_so(self, project):
        assert "bff_sessions.W032" not in [message.id for message in run_checks()]
        project.SOCIAL_AUTH_PIPELINE = project.SOCIAL_AUTH_PIPELINE[:-1]
        assert "bff_sessions.W032" in [message.id for message in run_checks()]
        project.SOCIAL_AUTH_OIDC_PIPELINE = ["bff_sessions.adapters.social_auth.copy_claims"]
        assert "bff_sessions.W032" not in [message.id for message in run_checks()]
