"""The recipes of docs/how-to/impersonation.md, with the packages themselves."""

import sys
from types import ModuleType

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.urls import include, path

from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_sessions
from tests.support.examples import example
from tests.support.factories import UserFactory

ISSUER = "https://idp.example"
OPERATOR = {"iss": ISSUER, "sub": "op-sub", "sid": "op-sid", "access_token": "t", "name": "Olga"}
PAGE = "how-to/impersonation"

pytestmark = pytest.mark.django_db

claims = example(PAGE, "python", "standard_claims").run()["claims"]


@pytest.fixture
def site(settings, monkeypatch):
    """Return a function that installs a package with its URLs and middleware."""

    def install(app, middleware, urls):
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, app]
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
        settings.BFF_SESSIONS = {"USER_CLAIMS": f"{__name__}.claims"}
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
def operator(client):
    """Return the browser of an operator who has signed in at the provider."""
    user = UserFactory(username="operator", admin=True)
    session = SessionStore()
    session["oidc"] = OPERATOR
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    client.cookies["sessionid"] = session.session_key
    return client


def get_user(browser):
    return browser.get("/bff/user", headers={"X-CSRF": "1"})


def identities():
    return list(Session.objects.values_list("issuer", "subject_id", "session_id", "user_id"))


def end_at_provider():
    filter = UserSessionsFilter(issuer=ISSUER, session_id="op-sid")
    return revoke_sessions(filter, reason=EndReason.PROVIDER)


def act_of(browser):
    shown = get_user(browser).json()["claims"]
    return shown["preferred_username"], shown["act"]


def test_hijacked_session_names_both_persons(hijack, operator, bob):
    assert get_user(operator).json()["claims"]["name"] == "Olga"
    assert operator.post("/hijack/acquire/", {"user_pk": bob.pk}).status_code == 302
    assert identities() == [(ISSUER, "op-sub", "op-sid", str(bob.pk))]
    assert act_of(operator) == ("bob", {"iss": ISSUER, "sub": "op-sub"})


def test_sign_out_of_the_operator_ends_what_is_hijacked(hijack, operator, bob):
    operator.post("/hijack/acquire/", {"user_pk": bob.pk})
    assert end_at_provider() == 1
    assert get_user(operator).status_code == 401
    assert identities() == []


def test_release_brings_the_operator_and_the_tokens_back(hijack, operator, bob):
    operator.post("/hijack/acquire/", {"user_pk": bob.pk})
    hijacked = SessionStore(operator.cookies["sessionid"].value)
    assert "oidc" not in hijacked
    assert operator.post("/hijack/release/").status_code == 302
    released = SessionStore(operator.cookies["sessionid"].value)
    assert released["oidc"] == OPERATOR
    assert get_user(operator).json()["claims"]["name"] == "Olga"
    assert len(identities()) == 1
    assert end_at_provider() == 1


def test_impersonated_session_names_both_persons(impersonate, operator, bob):
    before = identities()
    assert operator.get(f"/impersonate/{bob.pk}/").status_code == 302
    assert identities() == before
    assert act_of(operator) == ("bob", {"iss": ISSUER, "sub": "op-sub"})
    assert operator.get("/impersonate/stop/").status_code == 302
    assert get_user(operator).json()["claims"]["name"] == "Olga"


def test_sign_out_of_the_operator_ends_what_is_impersonated(impersonate, operator, bob):
    operator.get(f"/impersonate/{bob.pk}/")
    assert end_at_provider() == 1
    assert get_user(operator).status_code == 401
