"""recent_sign_in(): views that need a recent, or a strong, sign-in at the provider."""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View

from bff_sessions import arequire_recent_sign_in, recent_sign_in, require_recent_sign_in
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import RecentSignInRequired, SignInRequired
from bff_sessions.identity import bind_identity
from bff_sessions.oidc import log
from bff_sessions.oidc.sign_in.step_up import Demand, sign_in_parameters
from bff_sessions.views import round_trips
from tests.support.endpoints import ISSUER, claims, id_token, of_django

pytestmark = pytest.mark.django_db(transaction=True)

MAX_AGE, ACR = 300, "urn:strong"
PAGE = {"headers": {"Sec-Fetch-Mode": "navigate"}}
FETCH = {"headers": {"Sec-Fetch-Mode": "cors"}}


@recent_sign_in(max_age=MAX_AGE)
def pay(request, number=1):
    return HttpResponse(f"paid {number}")


@recent_sign_in(max_age=MAX_AGE)
async def apay(request, number=1):
    return HttpResponse(f"paid {number}")


@method_decorator(recent_sign_in(max_age=MAX_AGE), name="dispatch")
class Pay(View):
    def get(self, request, number=1):
        return HttpResponse(f"paid {number}")


@method_decorator(recent_sign_in(max_age=MAX_AGE), name="dispatch")
class APay(View):
    async def get(self, request, number=1):
        return HttpResponse(f"paid {number}")


def call(request, number=1):
    require_recent_sign_in(request, max_age=MAX_AGE)
    return HttpResponse(f"paid {number}")


async def acall(request, number=1):
    await arequire_recent_sign_in(request, max_age=MAX_AGE)
    return HttpResponse(f"paid {number}")


@recent_sign_in(acr=[ACR, "urn:stronger"])
def strong(request):
    return HttpResponse("strong")


@recent_sign_in(max_age=MAX_AGE)
@recent_sign_in(acr=ACR)
def both(request):
    return HttpResponse("both")


VIEWS = {
    "pay": pay,
    "apay": apay,
    "class": Pay.as_view(),
    "aclass": APay.as_view(),
    "call": call,
    "acall": acall,
}
urlpatterns = [path(f"{name}/<int:number>", view) for name, view in VIEWS.items()]
urlpatterns += [
    path("strong", strong),
    path("both", both),
    path("bff/", include("bff_sessions.urls")),
]


@pytest.fixture(autouse=True)
def _site(settings, monkeypatch):
    settings.ROOT_URLCONF = __name__
    settings.BFF_SESSIONS = {"LOGIN_URL": "/oidc/authorize?tenant=1"}
    monkeypatch.setattr(log, "_reported", {})


def ago(seconds):
    return int(time.time()) - seconds


def recent(seconds=10, **more):
    return claims(iat=ago(1000), **{"auth_time": ago(seconds), **more})


def query(response):
    assert response.status_code == 302, response.content
    return dict(parse_qsl(urlsplit(response["Location"]).query))


MARK = f"{round_trips.NAME}=bfa2fac43ab915bd"
"""Of the demand of the views below."""

EACH = pytest.mark.parametrize("view", VIEWS)


@EACH
def test_recent_sign_in_is_let_in(browser, view):
    browser.sign_in(recent())
    response = browser.request("get", f"/{view}/7", **PAGE)
    assert (response.status_code, response.content) == (200, b"paid 7")


@EACH
def test_page_load_is_led_to_the_provider(browser, view):
    browser.sign_in(recent(1000))
    response = browser.request("get", f"/{view}/7?x=1", **PAGE)
    assert response["Location"].startswith("/oidc/authorize?")
    assert query(response) == {
        "tenant": "1",
        "next": f"/{view}/7?x=1&{MARK}",
        "prompt": "login",
        "max_age": "300",
    }
    assert response["Cache-Control"] == "no-store"
    assert browser.row is not None


@EACH
def test_fetch_gets_the_challenge(browser, view):
    browser.sign_in(recent(1000))
    response = browser.request("get", f"/{view}/7", **FETCH)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", '
        'error_description="A more recent or a stronger sign-in is needed.", max_age="300"'
    )
    assert response.json() == {
        "error": "insufficient_user_authentication",
        "error_description": "A more recent or a stronger sign-in is needed.",
        "max_age": 300,
    }
    assert response["Cache-Control"] == "no-store"


def test_challenge_names_the_acr_values(browser):
    browser.sign_in(recent(acr="urn:weak"))
    response = browser.request("get", "/strong", **FETCH)
    assert response["WWW-Authenticate"].endswith('acr_values="urn:strong urn:stronger"')
    assert response.json()["acr_values"] == "urn:strong urn:stronger"
    location = browser.request("get", "/strong", **PAGE)
    assert query(location)["acr_values"] == "urn:strong urn:stronger"
    assert "max_age" not in query(location)


def test_form_does_not_lead_back_to_a_post(browser):
    browser.sign_in(recent(1000))
    token = browser.request("get", "/bff/user", headers={"X-CSRF": "1"}).json()["csrf_token"]
    headers = {**PAGE["headers"], "X-CSRFToken": token}
    assert "next" not in query(browser.request("post", "/pay/1", headers=headers))


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%2F%2Fevil.example"])
def test_target_is_a_path_of_this_site(path):
    request = RequestFactory().get("/", headers=PAGE["headers"])
    request.path = request.path_info = path
    request.session, request.user = SessionStore(), AnonymousUser()
    assert query(pay(request)).get("next", "/").startswith("/")
    assert not query(pay(request)).get("next", "/").startswith(("//", "/\\"))


@EACH
def test_anonymous_visitor_is_led_to_the_provider_without_a_session(browser, view):
    assert query(browser.request("get", f"/{view}/7", **PAGE))["max_age"] == "300"
    assert browser.request("get", f"/{view}/7", **FETCH).status_code == 401
    assert "sessionid" not in browser.client.cookies


REFUSED = {
    "old": {"auth_time": ago(1000)},
    "absent": {},
    "text": {"auth_time": str(ago(1))},
    "true": {"auth_time": True},
    "future": {"auth_time": ago(-1000)},
    "iat alone": {"iat": ago(1)},
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_sign_in_whose_time_is_not_confirmed_is_refused(browser, given):
    browser.sign_in(claims(**given))
    assert browser.request("get", "/pay/1", **FETCH).status_code == 401


def test_leeway_is_that_of_the_provider(browser, settings):
    browser.sign_in(recent(MAX_AGE + 30))
    assert browser.request("get", "/pay/1", **FETCH).status_code == 200
    settings.BFF_SESSIONS = {"PROVIDERS": {ISSUER: {"CLIENT_ID": "shop", "LEEWAY": 5}}}
    assert browser.request("get", "/pay/1", **FETCH).status_code == 401


@pytest.mark.parametrize(
    ("acr", "status"), [(ACR, 200), ("urn:stronger", 200), ("urn:weak", 401), (None, 401), (1, 401)]
)
def test_acr_must_be_one_of_those_named(browser, acr, status):
    browser.sign_in(recent(1000, acr=acr))
    assert browser.request("get", "/strong", **FETCH).status_code == status


def test_claims_of_another_subject_do_not_count(browser, rf):
    request = rf.get("/")
    request.session = SessionStore()
    request.session.update(recent())
    bind_identity(request, subject_id="bob", issuer=ISSUER)
    request.session.save()
    browser.client.cookies["sessionid"] = request.session.session_key
    assert browser.request("get", "/pay/1", **FETCH).status_code == 401


def test_id_token_of_mozilla_counts(browser):
    for seconds, status in ((10, 200), (1000, 401)):
        token = id_token(iss=ISSUER, sub="alice", auth_time=ago(seconds))
        browser.sign_in({"oidc_id_token": token})
        assert browser.request("get", "/pay/1", **FETCH).status_code == status


def test_without_a_provider_the_sign_in_of_the_session_counts(browser, django_user_model):
    browser.client.force_login(django_user_model.objects.create(username="alice"))
    assert browser.request("get", "/pay/1", **FETCH).status_code == 200
    browser.let_have_begun(datetime.now(UTC) - timedelta(seconds=1000))
    assert browser.request("get", "/pay/1", **FETCH).status_code == 401
    assert browser.request("get", "/strong", **FETCH).status_code == 401


def test_without_a_provider_the_user_signs_in_again_to_the_same_session(browser, django_user_model):
    user = django_user_model.objects.create(username="alice")
    browser.client.force_login(user)
    browser.let_have_begun(datetime.now(UTC) - timedelta(seconds=1000))
    assert go(browser).status_code == 302
    browser.client.force_login(user)
    assert go(browser).status_code == 200


def test_login_does_not_count_with_a_provider(browser, django_user_model):
    user = django_user_model.objects.create(username="alice")
    browser.sign_in({**recent(1000), **of_django(user)})
    browser.client.force_login(user)
    assert browser.row.issuer == ISSUER
    assert go(browser, **FETCH).status_code == 401


def test_sign_in_of_another_user_before_does_not_count(browser, django_user_model):
    alice, bob = (django_user_model.objects.create(username=name) for name in ("alice", "bob"))
    for user in (alice, alice, bob):
        browser.client.force_login(user)
    browser.let_have_begun(datetime.now(UTC) - timedelta(seconds=1000))
    assert browser.request("get", "/pay/1", **FETCH).status_code == 401


# Back from the provider


def answer(browser, **changes):
    """Let the provider sign the user in again, and the library store the claims."""
    key = browser.client.cookies["sessionid"].value
    session = SessionStore(key)
    session["oidc"] = {**session["oidc"], **changes}
    session.save()


def go(browser, path="/pay/1", **options):
    return browser.request("get", path, **(options or PAGE))


def leave(browser, path="/pay/1"):
    """Open a page that leads to the provider; return the URL to which the sign-in leads."""
    return query(go(browser, path))["next"]


def test_provider_that_confirms_the_sign_in_leads_in(browser):
    browser.sign_in(recent(1000))
    back = leave(browser, "/pay/1?a=%26&b")
    answer(browser, auth_time=ago(0))
    response = go(browser, back)
    assert (response.status_code, response["Location"]) == (302, "/pay/1?a=%26&b")
    assert response["Cache-Control"] == "no-store"
    assert go(browser, response["Location"]).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"auth_time": ago(1000)}, {"auth_time": ago(-9000)}, {"auth_time": None}, {}]
)
@pytest.mark.parametrize("empties_session", [False, True])
def test_provider_that_does_not_confirm_it_neither_loops_nor_lets_in(
    browser, caplog, changes, empties_session
):
    browser.sign_in(recent(1000))
    back = leave(browser)
    if empties_session:  # As django-allauth does it.
        browser.sign_in({"oidc": {**recent(1000)["oidc"], **changes}})
    else:
        answer(browser, **changes)
    assert go(browser, back).status_code == 403
    assert f"{ISSUER} does not confirm a recent or strong sign-in" in caplog.text
    # The user opens the page again, and signs in.
    back = leave(browser)
    answer(browser, auth_time=ago(0))
    assert go(browser, back).status_code == 302
    assert go(browser).status_code == 200


def test_pages_opened_at_once_all_lead_to_the_provider(browser):
    browser.sign_in(recent(1000))
    backs = [leave(browser, f"/pay/{number}") for number in range(9)]
    answer(browser, auth_time=ago(0))
    assert [go(browser, go(browser, back)["Location"]).status_code for back in backs] == [200] * 9


@pytest.mark.parametrize("given", [{}, {"auth_time": ago(1000)}])
def test_login_page_that_sends_a_signed_in_user_back_does_not_loop(browser, given):
    browser.sign_in(claims(**given))
    assert go(browser, leave(browser)).status_code == 403


def test_first_sign_in_that_does_not_help_is_not_asked_for_again(browser):
    back = leave(browser)
    assert leave(browser, back) == back  # Still anonymous.
    browser.sign_in(recent(1000))
    assert go(browser, back).status_code == 403


def test_weak_sign_in_is_not_asked_for_again(browser):
    browser.sign_in(recent(1000, acr="urn:weak"))
    back = leave(browser, "/strong")
    answer(browser, auth_time=ago(0))
    assert go(browser, back).status_code == 403
    # Another page that needs less.
    assert go(browser).status_code == 200


def test_page_with_two_demands_asks_for_each_once(browser):
    browser.sign_in(recent(1000, acr="urn:weak"))
    first = leave(browser, "/both")
    answer(browser, auth_time=ago(0))
    second = leave(browser, go(browser, first)["Location"])
    assert first != second
    assert go(browser, second).status_code == 403
    answer(browser, acr=ACR)
    assert go(browser, go(browser, second)["Location"]).status_code == 200


def test_sign_in_that_was_good_enough_may_be_asked_for_again(browser, monkeypatch):
    browser.sign_in(recent(1000))
    back = leave(browser, "/call/1")
    answer(browser, auth_time=ago(0))
    # Inside a view, nothing removes the mark.
    assert go(browser, back).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(Demand, "is_met", lambda *args: False)  # It has become too old.
        assert leave(browser, back) == back


NOTED = {"no": "", "text": "x", "long": "9" * 12, "old": str(ago(3600)), "new": str(ago(-3600))}


@pytest.mark.parametrize("noted", NOTED.values(), ids=NOTED)
def test_marked_url_alone_is_no_return(browser, noted):
    browser.sign_in(recent(1000))
    back = leave(browser)
    browser.client.cookies[round_trips.NAME] = noted
    assert leave(browser, back) == back


def test_url_that_is_too_long_loses_its_query_but_not_the_mark(browser):
    browser.sign_in(recent(1000))
    back = leave(browser, f"/pay/1?x={'y' * 2048}")
    assert back == f"/pay/1?{MARK}"
    assert go(browser, back).status_code == 403


def test_fetch_of_a_marked_url_gets_the_view(browser):
    browser.sign_in(recent())
    assert go(browser, f"/pay/1?{MARK}", **FETCH).status_code == 200


def test_mark_of_a_foreign_path_does_not_redirect(rf):
    request = rf.get(f"/?{MARK}", **PAGE)
    request.path = request.path_info = "//evil.example/"
    assert round_trips.unmarked_url(request, Demand.of(MAX_AGE, ())) is None


def test_cookie_is_that_of_the_session_in_all_else(browser, settings):
    settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_PATH = True, "/shop"
    browser.sign_in(recent(1000))
    cookie = go(browser).cookies[round_trips.NAME]
    assert (cookie["secure"], cookie["httponly"], cookie["path"]) == (True, True, "/shop")
    assert (cookie["samesite"], cookie["max-age"]) == ("Lax", 120)


@pytest.mark.parametrize("options", [PAGE, FETCH])
def test_session_is_not_written(browser, options):
    browser.sign_in(recent(1000))
    before = browser.row.version
    assert go(browser, **options).status_code in (302, 401)
    assert browser.row.version == before


# What is passed on to the provider


def test_login_endpoint_passes_the_demand_on(browser):
    url = "/bff/login?return_to=/pay/1&prompt=login&max_age=300&acr_values=a%20b&scope=admin"
    assert query(browser.request("get", url)) == {
        "tenant": "1",
        "next": "/pay/1",
        "prompt": "login",
        "max_age": "300",
        "acr_values": "a b",
    }


@pytest.mark.parametrize(
    "given",
    [
        "prompt=none",
        "prompt=login%20consent",
        "max_age=-1",
        "max_age=1e3",
        "max_age=",
        "max_age=9999999999",
        "max_age=%D9%A3",
        "acr_values=",
        "acr_values=a%22b",
        "acr_values=a%0Ab",
        "acr_values=a%26scope%3Dadmin%0d",
        f"acr_values={'a' * 1001}",
    ],
)
def test_other_values_are_not_passed_on(rf, given):
    assert sign_in_parameters(rf.get(f"/?{given}")) == {}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, TypeError),
        ({"acr": ""}, ValueError),
        ({"acr": [1]}, TypeError),
        ({"max_age": "300"}, TypeError),
        ({"max_age": True}, TypeError),
        ({"max_age": 1.5}, TypeError),
        ({"max_age": -1}, ValueError),
        ({"max_age": 10**9}, ValueError),
        ({"acr": "a b"}, ValueError),
        ({"acr": 'a"b'}, ValueError),
        ({"acr": "é"}, ValueError),
        ({"acr": ["a", "b\\"]}, ValueError),
    ],
)
def test_wrong_arguments_are_refused_where_the_view_is_defined(options, error):
    with pytest.raises(error):
        recent_sign_in(**options)


def test_exception_says_what_is_needed():
    error = RecentSignInRequired(max_age=5, acr=("a",))
    assert isinstance(error, SignInRequired)
    assert Demand(error.max_age, error.acr).to_parameters() == {
        "prompt": "login",
        "max_age": "5",
        "acr_values": "a",
    }
