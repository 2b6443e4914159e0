"""bff_sessions.middleware: sessions that end during a request."""

import json
from urllib.parse import unquote_to_bytes

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.checks import run_checks
from django.http import HttpResponse, QueryDict
from django.test import AsyncRequestFactory, RequestFactory, override_settings

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import (
    RevocationUnconfirmed,
    SessionChanged,
    SessionConflict,
    SignInEnded,
    SignInRequired,
    StoreUnavailable,
)
from bff_sessions.middleware import SessionMiddleware
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.settings import MIDDLEWARE
from tests.support.logs import errors

pytestmark = pytest.mark.django_db
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def sign_in():
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
    session.save()
    return session.session_key


def view(request):
    """Change the session, which another request ends meanwhile."""
    request.session["seen"] = True
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    return HttpResponse("a page")


def send(view, method="get", path="/orders?page=2", headers=None, raw=None):
    factory = RequestFactory(headers=headers or {})
    if raw is None:
        request = getattr(factory, method)(path)
    else:
        # The factory would take //host for a host; a web server does not.
        place, _, query = raw.partition("?")
        path_info = unquote_to_bytes(place).decode("latin-1")
        request = factory.generic(method.upper(), "/", PATH_INFO=path_info, QUERY_STRING=query)
    request.COOKIES["sessionid"] = sign_in()
    return SessionMiddleware(view)(request)


@pytest.mark.parametrize("headers", [PAGE, {"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}])
def test_page_load_is_redirected_to_sign_in_and_back(headers):
    response = send(view, headers=headers)
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/orders%3Fpage%3D2"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("//evil.example/me", None),
        ("///evil.example/me", None),
        ("//evil.example", None),
        ("//user@evil.example:80/me?x=1", None),
        (f"/{20_000 * 'a'}", None),
        (f"/{2_000 * '%C3%BC'}", None),
        (f"/orders?q={20_000 * 'a'}", "/orders"),
        (f"/orders?q={20_000 * '&'}", "/orders"),
        # Django encodes what browsers would drop or take for a slash.
        ("/%5Cevil.example/me", "/%5Cevil.example/me"),
        ("/%09/evil.example/me", "/%09/evil.example/me"),
        ("/%EF%BC%8Fevil.example/me", "/%EF%BC%8Fevil.example/me"),
        ("/https://evil.example/me", "/https://evil.example/me"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_page_load_returns_to_local_targets_only(path, target):
    response = send(view, headers=PAGE, raw=path)
    assert response.status_code == 302
    location, _, query = response["Location"].partition("?")
    assert location == "/accounts/login/"
    assert QueryDict(query).dict() == ({} if target is None else {"next": target})
    assert len(response["Location"]) < 8_000


def test_form_is_redirected_to_sign_in_only():
    assert send(view, "post", headers=PAGE)["Location"] == "/accounts/login/"


@pytest.mark.parametrize(
    "headers", [{}, {"Accept": "application/json"}, {**PAGE, "Sec-Fetch-Mode": "cors"}]
)
def test_fetch_gets_a_401_in_json(headers):
    response = send(view, headers=headers)
    assert response.status_code == 401
    assert json.loads(response.content)["error"] == "session_ended"
    assert response["Cache-Control"] == "no-store"


def test_cookie_is_not_deleted():
    assert not send(view).cookies


def test_asynchronous_view_gets_the_same_answers():
    async def aview(request):
        await request.session.aset("seen", True)
        await revoke()
        return HttpResponse("a page")

    async def revoke():
        from bff_sessions.revocation import arevoke_sessions

        assert await arevoke_sessions(UserSessionsFilter(subject_id="alice")) == 1

    async def send():
        request = AsyncRequestFactory().get("/")
        request.COOKIES["sessionid"] = key
        return await SessionMiddleware(aview)(request)

    key = sign_in()
    assert async_to_sync(send)().status_code == 401


def test_successful_request_is_as_with_django():
    def view(request):
        request.session["seen"] = True
        return HttpResponse("a page")

    response = send(view)
    assert response.content == b"a page"
    assert response.cookies["sessionid"].value


def cycling(request):
    request.session["seen"] = True
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    request.session.cycle_key()
    return HttpResponse("a page")


urlpatterns = []


@pytest.mark.parametrize(("headers", "status"), [({}, 401), (PAGE, 302)])
def test_session_that_ends_inside_the_view_gets_the_same_answers(client, headers, status):
    from django.urls import path

    urlpatterns[:] = [path("cycling", cycling)]
    ours = ["bff_sessions.middleware.SessionMiddleware", *MIDDLEWARE[1:]]
    client.cookies["sessionid"] = sign_in()
    with override_settings(MIDDLEWARE=ours, ROOT_URLCONF=__name__):
        assert client.get("/cycling", headers=headers).status_code == status


def test_merge_conflict_of_a_live_session_is_a_400(monkeypatch):
    def conflict(self, *args):
        raise SessionChanged

    def view(request):
        request.session["seen"] = True
        monkeypatch.setattr(type(get_store()), "overwrite_user_session", conflict)
        return HttpResponse("a page")

    with pytest.raises(SessionConflict) as caught:
        send(view)
    assert isinstance(caught.value, SessionInterrupted)


@pytest.mark.parametrize(
    ("error", "code"), [(SignInRequired, "sign_in_required"), (SignInEnded, "session_ended")]
)
def test_401_says_whether_the_session_has_ended(error, code):
    response = SessionMiddleware(view).process_exception(RequestFactory().get("/"), error())
    assert response.status_code == 401
    assert json.loads(response.content)["error"] == code


def test_other_errors_of_a_view_are_raised():
    request = RequestFactory().get("/")
    assert SessionMiddleware(view).process_exception(request, ValueError()) is None


def test_admin_checks_accept_the_middleware(settings):
    settings.MIDDLEWARE = ["bff_sessions.middleware.SessionMiddleware", *MIDDLEWARE[1:]]
    assert run_checks() == []


def writing(request):
    """Change the session, or sign out with ?flush."""
    request.session["seen"] = True
    if "flush" in request.GET:
        request.session.flush()
    return HttpResponse("a page")


def raising(error, *arguments):
    def verb(*args, **kwargs):
        raise error(*arguments)

    return verb


@pytest.fixture
def visit(client):
    """Send a request with the cookie of a signed-in session to `writing`."""
    from django.urls import path

    urlpatterns[:] = [path("writing", writing)]
    client.cookies["sessionid"] = sign_in()
    ours = ["bff_sessions.middleware.SessionMiddleware", *MIDDLEWARE[1:]]
    with override_settings(MIDDLEWARE=ours, ROOT_URLCONF=__name__):
        yield client.get


@pytest.mark.parametrize("verb", ["get_user_session", "overwrite_user_session"])
@pytest.mark.parametrize(("headers", "kind"), [(PAGE, "text/plain"), ({}, "application/json")])
def test_store_that_cannot_be_reached_is_a_503(visit, monkeypatch, caplog, verb, headers, kind):
    monkeypatch.setattr(get_store(), verb, raising(StoreUnavailable))
    response = visit("/writing", headers=headers)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response["Content-Type"].startswith(kind)
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert errors(caplog) == [("bff_sessions.store", f"A request failed: {StoreUnavailable()}")]


@pytest.mark.parametrize("verb", ["get_user_session", "overwrite_user_session"])
def test_outage_of_the_store_is_one_error(visit, monkeypatch, caplog, verb):
    monkeypatch.setattr(get_store(), verb, raising(StoreUnavailable))
    assert [visit("/writing").status_code for _ in range(5)] == [503] * 5
    assert [name for name, _ in errors(caplog)] == ["bff_sessions.store"]


def test_sign_out_that_replicas_have_not_confirmed_is_a_503(visit, monkeypatch):
    monkeypatch.setattr(get_store(), "delete_user_session", raising(RevocationUnconfirmed, []))
    assert visit("/writing?flush", headers=PAGE).status_code == 503
