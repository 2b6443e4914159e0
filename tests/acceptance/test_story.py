"""What people do, through Django's own middleware and its test client: a browser each."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, authenticate, login, logout
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from bff_sessions import bind_identity, conf
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.models import Session
from bff_sessions.protection import store_key
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]

ISSUER = "https://idp.example"


def sign_in(request, sid):
    login(request, authenticate(request, username="alice", password="wonderland"))
    bind_identity(request, issuer=ISSUER, subject_id="alice-1", session_id=sid)
    return HttpResponse()


async def asign_in(request, sid):
    user = await User.objects.aget(username="alice")
    await alogin(request, user)
    await request.session.aset("oidc", {"iss": ISSUER, "sub": "alice-1", "sid": sid})
    await request.session.asave()
    return HttpResponse()


def me(request):
    return JsonResponse({"user": request.user.username, **request.session.get("profile", {})})


async def ame(request):
    return JsonResponse({"user": (await request.auser()).username})


def put(request, name):
    request.session[name] = name
    if "revoke" in request.GET:
        revoke_sessions(UserSessionsFilter(subject_id="alice-1", issuer=ISSUER))
    return HttpResponse()


def sign_out(request):
    logout(request)
    return HttpResponse()


def fail(request):
    request.session["half"] = "done"
    return HttpResponse(status=500)


urlpatterns = [
    path("in/<sid>", sign_in),
    path("ain/<sid>", asign_in),
    path("me", me),
    path("ame", ame),
    path("put/<name>", put),
    path("out", sign_out),
    path("fail", fail),
]


@pytest.fixture(autouse=True)
def alice(transactional_db):
    return User.objects.create_user("alice", password="wonderland")


def user_of(browser):
    return browser.get("/me").json()["user"]


def sessions():
    return get_store().get_user_sessions(UserSessionsFilter(subject_id="alice-1"))


def test_two_browsers_and_one_is_thrown_out():
    laptop, phone = Client(), Client()
    laptop.get("/in/laptop")
    phone.get("/in/phone")
    assert user_of(laptop) == user_of(phone) == "alice"
    assert {session.session_id for session in sessions()} == {"laptop", "phone"}

    ended = revoke_sessions(UserSessionsFilter(session_id="phone", issuer=ISSUER))

    assert ended == 1
    assert user_of(laptop) == "alice"
    assert user_of(phone) == ""
    phone.get("/in/phone")
    assert user_of(phone) == "alice"
    laptop.get("/out")
    assert user_of(laptop) == ""
    assert [session.session_id for session in sessions()] == ["phone"]


def test_everywhere_at_once():
    browsers = [Client() for _ in range(3)]
    for number, browser in enumerate(browsers):
        browser.get(f"/in/{number}")
    assert revoke_sessions(UserSessionsFilter(subject_id="alice-1", issuer=ISSUER)) == 3
    assert [user_of(browser) for browser in browsers] == [""] * 3


@pytest.mark.usefixtures("djangos_middleware")
def test_a_request_in_flight_gets_a_400_and_nothing_comes_back():
    browser = Client()
    browser.get("/in/laptop")
    assert browser.get("/put/late?revoke").status_code == 400
    assert sessions() == []
    assert user_of(browser) == ""


def test_the_cart_survives_signing_in_under_a_new_key():
    browser = Client()
    browser.get("/put/cart")
    before = browser.cookies["sessionid"].value
    browser.get("/in/laptop")
    assert browser.cookies["sessionid"].value != before
    assert browser.session["cart"] == "cart"
    thief = Client()
    thief.cookies["sessionid"] = before
    assert user_of(thief) == ""


def test_a_page_of_a_failed_request_saves_nothing():
    browser = Client(raise_request_exception=False)
    browser.get("/put/cart")
    browser.get("/fail")
    assert dict(browser.session) == {"cart": "cart"}


@pytest.mark.parametrize("every_request", [False, True])
@pytest.mark.parametrize(
    "cookie", ["", "x", "k" * 32, "x" * 5000, "%00" * 10, "\u00e9" * 12, '"' * 12, "a b" * 9]
)
def test_a_garbage_cookie_is_anonymous_and_makes_no_row(cookie, every_request, settings):
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    browser = Client()
    browser.cookies["sessionid"] = cookie
    for page in ("/me", "/me"):
        response = browser.get(page)
        assert response.status_code == 200
        assert response.json()["user"] == ""
    assert Session.objects.count() == 0


def test_save_every_request_renews(settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    browser = Client()
    browser.get("/in/laptop")
    (before,) = sessions()
    assert user_of(browser) == "alice"
    (after,) = sessions()
    assert after.renewed > before.renewed
    assert after.created == before.created


def test_asynchronous_views_and_the_synchronous_save_agree():
    async def journey():
        browser = AsyncClient()
        await browser.get("/ain/laptop")
        first = (await browser.get("/ame")).json()["user"]
        await browser.get("/put/cart")
        return browser, first, (await browser.get("/ame")).json()["user"]

    browser, *users = async_to_sync(journey)()
    assert users == ["alice", "alice"]
    (session,) = sessions()
    assert session.session_id == "laptop"
    assert session.key == store_key(conf.PARTITION, browser.cookies["sessionid"].value)


def test_inside_atomic_requests(settings):
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        browser = Client()
        browser.get("/put/cart")
        browser.get("/in/laptop")
        assert user_of(browser) == "alice"
        browser.get("/put/more")
        assert browser.session["cart"] == "cart"
        assert browser.session["more"] == "more"
        browser.get("/out")
        assert user_of(browser) == ""
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert sessions() == []


def test_another_user_over_a_live_session_gets_a_session_of_their_own():
    User.objects.create_user("bob", password="builder")
    browser = Client()
    browser.get("/in/laptop")
    cookie = browser.cookies["sessionid"].value
    browser.login(username="bob", password="builder")
    assert user_of(browser) == "bob"
    old = Client()
    old.cookies["sessionid"] = cookie
    assert user_of(old) == ""
    (session,) = get_store().get_user_sessions(
        UserSessionsFilter(user_id=str(User.objects.get(username="bob").pk))
    )
    assert session.issuer is None
