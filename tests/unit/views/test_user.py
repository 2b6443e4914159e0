"""GET user."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User

from bff_sessions import bind_identity
from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import altered
from tests.support.endpoints import ISSUER, claims, id_token, is_error, of_django

WEEK = timedelta(weeks=1)
SECRETS = {
    "id_token": "secret-1",
    "access_token": "secret-2",
    "refresh_token": "secret-3",
    "sid": "secret-4",
    "nonce": "secret-5",
    "roles": ["secret-6"],
}


def age(browser, by):
    """Let `by` pass for the session."""
    row = browser.row
    older = {name: getattr(row, name) - by for name in ("created", "renewed", "expires")}
    get_store().update_user_session(row.key, UserSessionUpdate.of(altered(row, **older)))


def roles(request):
    return {"roles": ["admin"], "since": datetime(2026, 1, 1, tzinfo=UTC)}


def test_who_is_signed_in(browser):
    browser.sign_in(claims(name="Alice", email="alice@shop.example", email_verified=True))
    user = browser.user()
    assert user.keys() == {"claims", "expires_in", "logout_url", "csrf_token"}
    assert user["claims"] == {
        "iss": ISSUER,
        "sub": "alice",
        "name": "Alice",
        "email": "alice@shop.example",
        "email_verified": True,
    }
    assert user["logout_url"] == "/bff/logout"
    assert 1209600 - 10 < user["expires_in"] <= 1209600 + 60


def test_tokens_and_whatever_else_the_session_holds_stay_on_the_server(browser):
    browser.sign_in({**claims(**SECRETS), "oidc_id_token": "secret-7", "cart": "secret-8"})
    response = browser.fetch("get", "/bff/user")
    assert response.status_code == 200
    assert b"secret" not in response.content
    assert browser.client.cookies["sessionid"].value.encode() not in response.content
    assert browser.row.key.encode() not in response.content


def test_claims_of_somebody_else_than_the_session_is_bound_to_are_not_shown(browser, rf):
    browser.sign_in(claims("bob", name="Bob"))
    request = rf.get("/")
    request.session = {}
    bind_identity(request, issuer=ISSUER, subject_id="alice", session_id="s1")
    browser.sign_in({**claims("bob", name="Bob"), **request.session})
    assert browser.user()["claims"] == {"iss": ISSUER, "sub": "alice"}


def test_claims_are_found_where_the_project_keeps_them(browser, configure):
    configure(CLAIMS_KEY="id_claims")
    browser.sign_in({"id_claims": claims(name="Alice")["oidc"], "oidc": {"name": "Bob"}})
    assert browser.user()["claims"] == {"iss": ISSUER, "sub": "alice", "name": "Alice"}


def test_claims_are_found_in_the_id_token_of_mozilla_django_oidc(browser):
    token = id_token(iss=ISSUER, sub="alice", name="Alice", nonce="secret", groups=["secret"])
    browser.sign_in({"oidc_id_token": token})
    assert browser.user()["claims"] == {"iss": ISSUER, "sub": "alice", "name": "Alice"}
    browser.sign_in({"oidc_id_token": token, **claims("bob", email="bob@shop.example")})
    assert browser.user()["claims"] == {"iss": ISSUER, "sub": "bob", "email": "bob@shop.example"}


def test_without_a_provider_it_is_the_user_of_django(browser):
    user = User.objects.create(username="alice", first_name="Alice", last_name="Liddell")
    browser.sign_in(of_django(user))
    assert browser.user()["claims"] == {
        "sub": str(user.pk),
        "preferred_username": "alice",
        "name": "Alice Liddell",
    }
    User.objects.update(first_name="", last_name="")
    assert "name" not in browser.user()["claims"]


def test_without_django_contrib_auth_there_is_a_subject_still(browser, settings):
    settings.MIDDLEWARE = [
        name for name in settings.MIDDLEWARE if "auth" not in name and "messages" not in name
    ]
    browser.sign_in({SESSION_KEY: "42"})
    assert browser.user()["claims"] == {"sub": "42"}


def test_the_claims_are_a_function_of_the_project(browser, configure):
    configure(USER_CLAIMS="tests.unit.views.test_user.roles")
    browser.sign_in()
    assert browser.user()["claims"] == {"roles": ["admin"], "since": "2026-01-01T00:00:00Z"}


def test_nobody_is_401(browser):
    assert is_error(browser.fetch("get", "/bff/user"), 401, "not_signed_in")
    browser.sign_in({"cart": [1]})
    assert is_error(browser.fetch("get", "/bff/user"), 401, "not_signed_in")


def test_nobody_is_null_if_so_configured(browser, configure):
    configure(ANONYMOUS_STATUS=200)
    response = browser.fetch("get", "/bff/user")
    assert (response.status_code, response.json()) == (200, None)
    assert response.headers["Cache-Control"] == "no-store"


def test_somebody_whose_session_was_revoked_is_nobody(browser):
    browser.sign_in()
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    assert is_error(browser.fetch("get", "/bff/user"), 401, "not_signed_in")


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "another"}])
def test_somebody_whom_django_does_not_take_any_more_is_nobody(browser, change):
    user = User.objects.create(username="alice", password="first")
    browser.sign_in({**of_django(user), **claims()})
    assert browser.user()["claims"]["sub"] == "alice"
    User.objects.update(**change)
    assert is_error(browser.fetch("get", "/bff/user"), 401, "not_signed_in")


def test_the_seconds_are_those_of_the_session_and_not_of_a_new_one(browser):
    browser.sign_in()
    age(browser, WEEK)
    assert abs(browser.user()["expires_in"] - WEEK.total_seconds()) < 70


def test_the_seconds_are_none_for_a_session_that_does_not_expire(browser):
    browser.sign_in()
    row = browser.row
    endless = UserSessionUpdate.of(replace(row, expires=None))
    get_store().update_user_session(row.key, endless)
    assert browser.user()["expires_in"] is None


def test_the_absolute_lifetime_counts_though_it_was_set_afterwards(browser, configure):
    browser.sign_in()
    configure(ABSOLUTE_LIFETIME=timedelta(hours=1))
    assert 3590 < browser.user()["expires_in"] <= 3600
    row = browser.row
    endless = UserSessionUpdate.of(replace(row, expires=None))
    get_store().update_user_session(row.key, endless)
    assert 3590 < browser.user()["expires_in"] <= 3600


def test_an_absolute_lifetime_that_ends_later_changes_nothing(browser, configure):
    configure(ABSOLUTE_LIFETIME=10 * WEEK)
    browser.sign_in()
    age(browser, WEEK)
    assert abs(browser.user()["expires_in"] - WEEK.total_seconds()) < 70


def test_asking_renews_when_it_is_due_and_the_answer_tells_so(browser, configure):
    configure(RENEW_AFTER=0.5)
    browser.sign_in()
    age(browser, 1.5 * WEEK)
    before = browser.row
    user = browser.user()
    assert browser.row.renewed > before.renewed
    left = (browser.row.expires - datetime.now(UTC)).total_seconds()
    assert abs(user["expires_in"] - left) < 70
    assert user["expires_in"] > 1.9 * WEEK.total_seconds()


@pytest.mark.parametrize("every_request", [False, True])
def test_slide_false_does_not_renew(browser, configure, settings, every_request):
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    configure(RENEW_AFTER=0.5)
    browser.sign_in()
    age(browser, 1.5 * WEEK)
    before = browser.row
    user = browser.user("/bff/user?slide=false")
    assert browser.row == before
    assert abs(user["expires_in"] - WEEK.total_seconds() / 2) < 70
    assert browser.user("/bff/user?slide=true")["expires_in"] > 1.9 * WEEK.total_seconds()
    assert browser.row.renewed > before.renewed


def test_with_save_every_request_the_answer_tells_of_the_renewal(browser, settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    browser.sign_in()
    age(browser, WEEK)
    assert browser.user()["expires_in"] > 1.9 * WEEK.total_seconds()


def test_head_is_answered_as_get(browser):
    browser.sign_in()
    assert browser.fetch("head", "/bff/user").status_code == 200


def test_statements(browser, django_assert_num_queries):
    browser.sign_in()
    with django_assert_num_queries(1):
        browser.user()
    browser.sign_in(of_django(User.objects.create(username="alice")))
    with django_assert_num_queries(2):
        browser.user()


def act_as_bob(get_response):
    """Middleware that lets operators act as bob, as django-impersonate does."""

    def respond(request):
        request.user = User.objects.get(username="bob")
        return get_response(request)

    return respond


@pytest.mark.parametrize("is_active", [True, False])
def test_claims_are_those_of_the_session_and_not_of_whom_it_acts_as(browser, settings, is_active):
    operator = User.objects.create(username="operator")
    User.objects.create(username="bob", first_name="Bob", is_active=is_active)
    browser.sign_in(of_django(operator))
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.act_as_bob"]
    claims = browser.user()["claims"]
    assert claims == {"sub": str(operator.pk), "preferred_username": "operator"}


def test_a_user_who_is_inactive_by_now_is_signed_out_also_while_acting(browser, settings):
    operator = User.objects.create(username="operator")
    User.objects.create(username="bob")
    browser.sign_in(of_django(operator))
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.act_as_bob"]
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert browser.fetch("get", "/bff/user").status_code == 401
