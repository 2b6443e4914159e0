"""The sentence on the sign-in page of a browser whose session has ended."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.db import OperationalError, transaction
from django.http import HttpResponse
from django.template import engines
from django.test import Client
from django.urls import path

from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.revocation import (
    arevoke_session,
    arevoke_sessions,
    notes,
    revoke_session,
    revoke_sessions,
)
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from bff_sessions.views.ended import COOKIE
from tests.support.endpoints import Browser, of_django
from tests.support.factories import UserFactory

# A note is written after the commit.
pytestmark = pytest.mark.django_db(transaction=True)

TEMPLATE = "{% load bff_sessions %}{% session_ended as text %}{{ text|default_if_none:'nothing' }}"
TEXTS = {
    EndReason.OTHER_BROWSER: "Your session was ended from another browser.",
    EndReason.OPERATOR: "An operator has ended your session.",
    EndReason.PROVIDER: "Your identity provider has ended your session.",
    None: "Your session has ended.",
}


def sign_in_page(request):
    return HttpResponse(engines["django"].from_string(TEMPLATE).render({}, request))


def sign_out(request):
    logout(request)
    return HttpResponse()


def careful(request):
    try:
        request.session.get("cart")
    except OperationalError:
        return HttpResponse("Come back later.", status=503)
    return HttpResponse("now")


def fill(request):
    request.session["cart"] = [1]
    return HttpResponse()


def cycle(request):
    request.session.cycle_key()
    return HttpResponse()


def flush(request):
    request.session.flush()
    return HttpResponse()


urlpatterns = [
    path("careful", careful),
    path("fill", fill),
    path("cycle", cycle),
    path("flush", flush),
    path("", login_required(lambda request: HttpResponse("home"), login_url="/sign-in")),
    path("sign-in", sign_in_page),
    path("sign-out", sign_out),
    path("open", lambda request: HttpResponse("open")),
]


@pytest.fixture
def browser(settings):
    settings.ROOT_URLCONF = __name__
    cache.clear()
    browser = Browser(Client())
    browser.user = UserFactory()
    browser.sign_in(of_django(browser.user))
    return browser


@pytest.fixture
def mine(browser):
    """The filter of the sessions of the user of `browser`."""
    return UserSessionsFilter(user_id=str(browser.user.pk))


def read(browser, path="/"):
    return browser.client.get(path, follow=True).content.decode()


@pytest.mark.parametrize("reason", EndReason)
def test_sign_in_page_says_why_the_session_has_ended(browser, mine, reason):
    text = TEXTS.get(reason, TEXTS[None])
    assert revoke_sessions(mine, reason=reason) == 1
    assert read(browser) == text
    # Reloaded, without the session cookie, which the first answer has deleted.
    assert "sessionid" not in {n for n, c in browser.client.cookies.items() if c.value}
    assert read(browser) == text


def test_sign_in_page_itself_may_be_the_first_page(browser, mine):
    revoke_sessions(mine, reason=EndReason.OPERATOR)
    assert read(browser, "/sign-in") == TEXTS[EndReason.OPERATOR]


def test_asynchronous_revocation_notes_its_reason(browser, mine):
    assert async_to_sync(arevoke_sessions)(mine, reason=EndReason.PROVIDER) == 1
    assert read(browser) == TEXTS[EndReason.PROVIDER]


@pytest.mark.parametrize("revoke", [revoke_session, async_to_sync(arevoke_session)])
def test_session_that_is_ended_by_its_key_has_a_note(browser, revoke):
    revoke(browser.row.key, reason=EndReason.OPERATOR)
    assert read(browser) == TEXTS[EndReason.OPERATOR]


def test_stranger_learns_nothing(browser, mine):
    key = browser.row.key
    revoke_sessions(mine, reason=EndReason.OPERATOR)
    stranger = Browser(Client())
    assert read(stranger) == "nothing"
    for cookie in ("x", "a" * 40, key, key[:40]):
        stranger.client.cookies["sessionid"] = cookie
        assert read(stranger, "/sign-in") in ("nothing", TEXTS[None])
    stranger.client.cookies[COOKIE] = "<script>"
    assert read(stranger, "/sign-in") == "nothing"


def test_own_sign_out_needs_no_explanation(browser):
    browser.client.get("/sign-out")
    assert read(browser) == "nothing"


def test_next_sign_in_forgets_the_reason(browser, mine):
    revoke_sessions(mine, reason=EndReason.OPERATOR)
    assert read(browser) == TEXTS[EndReason.OPERATOR]
    browser.sign_in(of_django(browser.user))
    assert read(browser) == "home"
    browser.client.get("/sign-out")
    assert read(browser) == "nothing"


def test_page_that_reads_no_session_sets_no_cookie(browser, mine, django_assert_num_queries):
    revoke_sessions(mine, reason=EndReason.OPERATOR)
    with django_assert_num_queries(0):
        assert not browser.client.get("/open").cookies


def test_answer_about_a_broken_store_is_not_lost(browser, monkeypatch):
    def fail(store, key):
        raise OperationalError

    monkeypatch.setattr(type(get_store()), "get_user_session", fail)
    assert browser.client.get("/careful").status_code == 503


@pytest.mark.parametrize("page", ["/cycle", "/flush"])
def test_anonymous_session_that_its_request_replaces_has_not_ended(browser, page):
    anonymous = Client()
    anonymous.get("/fill")
    assert COOKIE not in anonymous.get(page).cookies


def test_new_password_ends_other_sessions_with_a_neutral_text(browser):
    browser.user.set_password("another one")
    browser.user.save()
    assert read(browser) == TEXTS[None]


@pytest.mark.parametrize("same_site", ["Lax", "None"])
def test_cookie_is_deleted_as_it_was_set(browser, mine, settings, same_site):
    settings.SESSION_COOKIE_SAMESITE = same_site
    revoke_sessions(mine)
    assert browser.client.get("/").cookies[COOKIE]["samesite"] == same_site
    browser.sign_in(of_django(browser.user))
    deleted = browser.client.get("/").cookies[COOKIE]
    assert (deleted["max-age"], deleted["samesite"]) == (0, same_site)
    assert bool(deleted["secure"]) is (same_site == "None")


def test_signed_in_request_takes_one_statement(browser, django_assert_num_queries):
    with django_assert_num_queries(2):  # Session and user.
        assert browser.client.get("/").content == b"home"


@pytest.mark.parametrize("method", ["get", "set_many"])
def test_cache_that_fails_costs_a_neutral_text(browser, mine, monkeypatch, caplog, method):
    def fail(*args, **kwargs):
        raise RuntimeError("redis://:secret@cache")

    monkeypatch.setattr(notes.cache, method, fail)
    assert revoke_sessions(mine, reason=EndReason.OPERATOR) == 1
    assert read(browser) == TEXTS[None]
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_note_names_neither_session_key_nor_store_key(browser, mine, monkeypatch):
    stored = {}
    monkeypatch.setattr(notes.cache, "set_many", lambda values, timeout: stored.update(values))
    row, cookie = browser.row, browser.client.cookies["sessionid"].value
    revoke_sessions(mine, reason=EndReason.OPERATOR)
    assert list(stored.values()) == ["operator"]
    assert row.key not in str(stored)
    assert cookie not in str(stored)


def test_garbage_in_the_cache_is_no_reason():
    session = make_session()
    cache.set(notes._name_of(session.key), {"not": "a reason"})
    assert notes.read_note(session.key) is None


def test_revocation_that_is_rolled_back_leaves_no_note(browser, mine):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        revoke_sessions(mine, reason=EndReason.OPERATOR)
        raise ZeroDivisionError
    revoke_sessions(mine)
    assert read(browser) == TEXTS[None]


def test_revocation_notes_its_reason_after_the_commit(browser, mine):
    with transaction.atomic():
        revoke_sessions(mine, reason=EndReason.OPERATOR)
    assert read(browser) == TEXTS[EndReason.OPERATOR]
