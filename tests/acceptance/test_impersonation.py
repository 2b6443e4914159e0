"""The recipes of docs/how-to/impersonation.md, with the packages themselves."""

import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType
from urllib.parse import urlencode

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.test import Client
from django.urls import include, path

from bff_sessions.contract import EndReason
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session, TokenRevocation
from bff_sessions.oidc.models import Logout
from bff_sessions.signals import session_started, sessions_ended
from tests.support.examples import example
from tests.support.factories import UserFactory
from tests.support.provider import serve

PAGE = "how-to/impersonation"

pytestmark = pytest.mark.django_db(transaction=True)

claims = example(PAGE, "python", "standard_claims").run()["claims"]


@pytest.fixture
def provider(monkeypatch):
    with serve(monkeypatch) as provider:
        yield provider


@pytest.fixture
def site(settings, monkeypatch, provider):
    """Return a function that installs a package with its URLs and middleware."""

    def install(app, middleware, urls):
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, app]
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
        settings.BFF_SESSIONS = {
            **provider.settings,
            "USER_CLAIMS": f"{__name__}.claims",
            "TOKEN_REVOCATION": {},
        }
        settings.LOGIN_REDIRECT_URL = settings.LOGOUT_REDIRECT_URL = "/"
        module = ModuleType("impersonation_urls")
        module.urlpatterns = [path("bff/", include("bff_sessions.urls")), *urls()]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return install


@pytest.fixture
def hijack(site):
    pytest.importorskip("hijack")

    def urls():
        defined = example(PAGE, "python", "class Acquire").run()
        return [path("hijack/", include((defined["urlpatterns"], defined["app_name"])))]

    site("hijack", "hijack.middleware.HijackUserMiddleware", urls)


@pytest.fixture
def impersonate(site, settings):
    pytest.importorskip("impersonate")
    settings.IMPERSONATE = {"DISABLE_LOGGING": True}
    middleware = "impersonate.middleware.ImpersonateMiddleware"
    site("impersonate", middleware, lambda: [path("impersonate/", include("impersonate.urls"))])


@pytest.fixture
def bob():
    return UserFactory(username="bob")


@pytest.fixture
def carol():
    """Return an operator as whom another operator may act."""
    return UserFactory(username="carol", admin=True)


@pytest.fixture
def user():
    return UserFactory(username="operator", admin=True)


@pytest.fixture
def oidc(provider):
    """Return the claims and tokens of the operator."""
    return provider.sign_in(sub="op-sub", sid="op-sid", name="Olga")["oidc"]


@pytest.fixture
def operator(client, user, oidc):
    """Return the browser of an operator who has signed in at the provider."""
    session = SessionStore()
    session["oidc"] = oidc
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    client.cookies["sessionid"] = session.session_key
    return client


@pytest.fixture
def announced(user):
    """Return the starts and ends that are announced, each with its subject and user."""
    found = []

    def start(session, **kwargs):
        found.append(("start", session.subject_id, session.user_id))

    def end(sessions, reason, **kwargs):
        found.extend((reason, each.subject_id, each.user_id) for each in sessions)

    session_started.connect(start)
    sessions_ended.connect(end)
    yield found
    session_started.disconnect(start)
    sessions_ended.disconnect(end)


def get_user(browser):
    return browser.get("/bff/user", headers={"X-CSRF": "1"})


def claims_of(browser):
    return get_user(browser).json()["claims"]


def data_of(browser):
    return dict(SessionStore(browser.cookies["sessionid"].value).items())


def acquire(browser, user):
    assert browser.post("/hijack/acquire/", {"user_pk": user.pk}).status_code == 302


def release(browser):
    assert browser.post("/hijack/release/").status_code == 302


def identities():
    return list(Session.objects.values_list("issuer", "subject_id", "session_id", "user_id"))


def end_at_provider(provider, without=()):
    """Sign the operator out at the provider, which sends a logout token."""
    form = urlencode({"logout_token": provider.token(sub="op-sub", sid="op-sid", without=without)})
    response = Client().post("/bff/backchannel-logout", form, "application/x-www-form-urlencoded")
    assert response.status_code == 200


def test_hijacked_session_names_both_persons(hijack, operator, provider, bob):
    assert claims_of(operator)["name"] == "Olga"
    acquire(operator, bob)
    assert identities() == [(provider.issuer, "op-sub", "op-sid", str(bob.pk))]
    assert claims_of(operator) == {
        "sub": str(bob.pk),
        "preferred_username": "bob",
        "act": {"iss": provider.issuer, "sub": "op-sub"},
    }


@pytest.mark.parametrize("without", [(), ("sid",), ("sub",)])
def test_logout_token_of_the_operator_ends_what_is_hijacked(
    hijack, operator, provider, bob, without
):
    acquire(operator, bob)
    end_at_provider(provider, without)
    assert get_user(operator).status_code == 401
    assert identities() == []


def test_release_brings_the_operator_and_the_tokens_back(
    hijack, operator, provider, oidc, user, bob
):
    acquire(operator, bob)
    assert "oidc" not in data_of(operator)
    release(operator)
    released = data_of(operator)
    assert released["oidc"] == oidc
    assert released.keys().isdisjoint({"operator", "_bff_identity"})
    assert claims_of(operator)["name"] == "Olga"
    assert identities() == [(provider.issuer, "op-sub", "op-sid", str(user.pk))]
    assert not TokenRevocation.objects.exists()
    assert provider.revoked == []


def test_operator_may_act_as_a_third_user(hijack, operator, provider, oidc, user, bob, carol):
    acquire(operator, carol)
    acquire(operator, bob)
    assert identities() == [(provider.issuer, "op-sub", "op-sid", str(bob.pk))]
    assert claims_of(operator)["act"] == {"iss": provider.issuer, "sub": "op-sub"}
    release(operator)
    assert identities() == [(provider.issuer, "op-sub", "op-sid", str(carol.pk))]
    assert claims_of(operator)["preferred_username"] == "carol"
    release(operator)
    assert identities() == [(provider.issuer, "op-sub", "op-sid", str(user.pk))]
    assert data_of(operator)["oidc"] == oidc


def test_hijacking_announces_sessions_of_the_operator_only(hijack, operator, announced, user, bob):
    acquire(operator, bob)
    release(operator)
    own, other = ("op-sub", str(user.pk)), ("op-sub", str(bob.pk))
    assert announced == [
        (EndReason.CODE, *own),
        ("start", *other),
        (EndReason.CODE, *other),
        ("start", *own),
    ]


def test_logout_during_hijacking_ends_the_new_session(hijack, operator, provider, bob, monkeypatch):
    from hijack.middleware import HijackUserMiddleware

    def log_out(self, request, response):
        # The operator's session has ended, and the new one is not saved yet.
        assert identities() == []
        now = datetime.now(UTC)
        logout = Logout.of(
            issuer=provider.issuer,
            jti="1",
            subject_id="op-sub",
            issued=now,
            expires=now + timedelta(minutes=2),
        )
        Logout.objects.current().begin(logout)
        return response

    monkeypatch.setattr(HijackUserMiddleware, "process_response", log_out)
    acquire(operator, bob)
    assert identities() == []


def test_hijacked_session_names_a_local_operator(hijack, client, user, bob, announced):
    client.force_login(user)
    announced.clear()
    acquire(client, bob)
    assert claims_of(client)["sub"] == str(bob.pk)
    assert claims_of(client)["act"] == {"sub": str(user.pk)}
    release(client)
    assert claims_of(client) == {"sub": str(user.pk), "preferred_username": "operator"}
    assert [subject for _, subject, _ in announced] == [str(user.pk)] * 4


def test_impersonated_session_names_both_persons(impersonate, operator, provider, bob, announced):
    before, data = identities(), data_of(operator)
    assert operator.get(f"/impersonate/{bob.pk}/").status_code == 302
    assert identities() == before
    assert claims_of(operator) == {
        "sub": str(bob.pk),
        "preferred_username": "bob",
        "act": {"iss": provider.issuer, "sub": "op-sub"},
    }
    assert operator.get("/impersonate/stop/").status_code == 302
    assert claims_of(operator)["name"] == "Olga"
    assert data_of(operator) == data
    assert announced == []


def test_impersonated_session_names_a_local_operator(impersonate, client, user, bob):
    client.force_login(user)
    client.get(f"/impersonate/{bob.pk}/")
    assert claims_of(client)["sub"] == str(bob.pk)
    assert claims_of(client)["act"] == {"sub": str(user.pk)}


def test_logout_token_of_the_operator_ends_what_is_impersonated(
    impersonate, operator, provider, bob
):
    operator.get(f"/impersonate/{bob.pk}/")
    end_at_provider(provider)
    assert get_user(operator).status_code == 401
