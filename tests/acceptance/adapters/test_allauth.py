"""django-allauth with its provider openid_connect."""

import re

import pytest
from allauth.core import context
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.provider import OAuth2Provider
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.core import mail
from django.core.checks import run_checks
from django.test import RequestFactory

from bff_sessions.adapters.allauth import copy_claims
from bff_sessions.engine import SessionStore
from bff_sessions.oidc.tokens import keep_tokens
from tests.support.adapters import PASSWORD, TokenJourneys, make_user, rows
from tests.support.provider import CLIENT_ID, CLIENT_SECRET


class TestAllauth(TokenJourneys):
    begin = "/accounts/oidc/idp/login/"

    @pytest.fixture(autouse=True)
    def _app(self, project, provider):
        self.app = {
            "provider_id": "idp",
            "name": "Our provider",
            "client_id": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "settings": {"server_url": provider.issuer},
        }
        project.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [self.app]}}

    @pytest.fixture
    def request_here(self):
        """A request of an anonymous user, as the views of the library would have it."""
        request = RequestFactory().get("/")
        request.session, request.user = SessionStore(), AnonymousUser()
        MessageMiddleware(lambda request: None).process_request(request)
        with context.request_context(request):
            yield request

    def test_another_user_over_a_live_session_has_an_identity_of_their_own(self, browser, provider):
        browser.sign_in("alice", "s1")
        browser.sign_in("bob", "s2")
        assert browser.who() == "bob"
        assert rows() == [(provider.issuer, "bob", "s2")]
        assert self.warnings() == []

    @pytest.mark.parametrize("fetches_userinfo", [True, False])
    def test_the_id_token_counts_whether_userinfo_is_asked_or_not(
        self, browser, provider, fetches_userinfo
    ):
        self.app["settings"]["fetch_userinfo"] = fetches_userinfo
        browser.sign_in("alice", "s1")
        assert ("userinfo" in SocialAccount.objects.get().extra_data) is fetches_userinfo
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_the_account_of_the_user_is_not_asked(self, open_browser, provider):
        first, second = open_browser(), open_browser()
        first.sign_in("alice", "s1")
        second.sign_in("alice", "s2")
        assert SocialAccount.objects.get().extra_data["id_token"]["sid"] == "s2"
        assert first.client.session["oidc"]["sid"] == "s1"

    def test_claims_arrive_after_a_step_in_between(self, browser, project, provider, monkeypatch):
        monkeypatch.setattr(provider, "email_verified", False)
        project.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
        project.ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
        browser.sign_in("alice", "s1")
        assert browser.who() == ""
        assert rows() == []
        (message,) = mail.outbox
        browser.client.post(re.search(r"http://testserver(/\S+)", message.body)[1])
        assert browser.who() == "alice"
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_expiry_without_a_time_zone_is_local_time(self, browser, project, provider):
        # Django stores no time zones then.
        project.USE_TZ, project.TIME_ZONE = False, "Asia/Tokyo"
        browser.sign_in("alice", "s1")
        assert 0 < keep_tokens(browser.client.session).seconds_left <= provider.expires_in

    def test_connecting_an_account_is_no_sign_in(self, browser, provider):
        user = make_user("carol")
        browser.sign_in_locally("carol")
        browser.begin += "?process=connect"
        browser.sign_in("alice", "s1")
        assert SocialAccount.objects.get().user == user
        ((issuer, subject_id, _),) = rows()
        assert (issuer, subject_id) == (None, str(user.pk))

    def test_a_local_sign_in_by_allauth_is_visible(self, browser):
        make_user("carol")
        data = {"login": "carol", "password": PASSWORD}
        browser.client.post("/accounts/login/", data)
        assert browser.who() == "carol"
        assert [issuer for issuer, _, _ in rows()] == [None]
        assert len(self.warnings()) == 1

    def test_a_token_that_a_client_sends_counts(self, request_here, provider):
        idp = get_adapter().get_provider(request_here, "idp")
        id_token = provider.sign_id_token({"sub": "alice", "sid": "s1"})
        login = idp.verify_token(request_here, {"id_token": id_token, "client_id": CLIENT_ID})
        complete_social_login(request_here, login)
        request_here.session.save()
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_a_provider_without_id_token_leaves_no_claims(self, request_here):
        idp = get_adapter().get_provider(request_here, "idp")
        account = SocialAccount(extra_data={"userinfo": {"sub": "alice"}})
        copy_claims(request=request_here, sociallogin=SocialLogin(provider=idp, account=account))
        assert "oidc" not in request_here.session

    def test_claims_are_kept_under_the_key_of_the_settings(self, browser, project, provider):
        project.BFF_SESSIONS = {**project.BFF_SESSIONS, "CLAIMS_KEY": "claims"}
        browser.sign_in("alice", "s1")
        claims = browser.client.session["claims"]
        assert claims["sub"] == "alice"
        assert claims["email"] == "alice@shop.example"
        assert "oidc" not in browser.client.session
        assert rows() == [(provider.issuer, "alice", "s1")]

    def test_name_may_come_from_userinfo_alone(self, browser, provider):
        browser.sign_in("alice", "s1")
        assert "preferred_username" not in SocialAccount.objects.get().extra_data["id_token"]
        assert browser.get_claims()["preferred_username"] == "alice"

    def test_userinfo_of_another_subject_is_left_out(self, request_here, provider):
        idp = get_adapter().get_provider(request_here, "idp")
        id_token = {"iss": provider.issuer, "sub": "alice"}
        userinfo = {"sub": "bob", "name": "Bob"}
        account = SocialAccount(extra_data={"id_token": id_token, "userinfo": userinfo})
        copy_claims(request=request_here, sociallogin=SocialLogin(provider=idp, account=account))
        assert request_here.session["oidc"] == id_token

    def test_other_providers_are_passed_over(self, request_here):
        # What they keep under this name, nobody has verified.
        account = SocialAccount(extra_data={"id_token": {"iss": "i", "sub": "alice"}})
        provider = OAuth2Provider(request_here, app=SocialApp())
        login = SocialLogin(provider=provider, account=account)
        copy_claims(request=request_here, sociallogin=login)
        assert "oidc" not in request_here.session

    def test_without_the_adapter_a_check_says_so(self, settings, project):
        assert "bff_sessions.W031" not in [message.id for message in run_checks()]
        adapter = "bff_sessions.adapters.allauth.AllauthAdapter"
        settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != adapter]
        assert "bff_sessions.W031" in [message.id for message in run_checks()]
