"""Test clients of a project that is signed in."""

import pytest
from asgiref.sync import async_to_sync
from django import test
from django.contrib.sessions.serializers import JSONSerializer
from django.http import HttpResponse, JsonResponse
from django.urls import include, path

from bff_sessions import aget_access_token, get_access_token
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.engine.tickets import open_ticket
from bff_sessions.exceptions import SignInRequired
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import AsyncClient, Client, asign_in, sign_in
from bff_sessions.testing.factories import SessionFactory
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

CLAIMS = {"iss": "https://idp.example", "sub": "sub-of-alice"}


def who(request):
    return HttpResponse(request.user.get_username())


def token(request):
    return HttpResponse(get_access_token(request))


async def atoken(request):
    return HttpResponse(await aget_access_token(request))


def cart(request):
    return JsonResponse(request.session.get("cart", []), safe=False)


urlpatterns = [
    path("who", who),
    path("token", token),
    path("atoken", atoken),
    path("cart", cart),
    path("bff/", include("bff_sessions.urls")),
]


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def user():
    return UserFactory(username="alice")


def rows(**criteria):
    return get_store().get_user_sessions(UserSessionsFilter(**criteria))


@pytest.fixture(params=[test.Client, Client, test.AsyncClient, AsyncClient])
def browser(request):
    """Sign in and send requests with a client, from a synchronous test."""

    class Browser:
        def __init__(self):
            self.client = request.param()
            self.is_async = isinstance(self.client, test.AsyncClient)

        def sign_in(self, user, **options):
            if self.is_async:
                return async_to_sync(asign_in)(self.client, user, **options)
            return sign_in(self.client, user, **options)

        def get(self, url, **options):
            get = async_to_sync(self.client.get) if self.is_async else self.client.get
            return get(url, **options)

    return Browser()


def test_user_is_signed_in_at_the_provider(browser, user):
    browser.sign_in(user)
    assert browser.get("/who").content == b"alice"
    (row,) = rows(subject_id="alice")
    assert (row.issuer, row.user_id) == ("https://idp.example", str(user.pk))


def test_claims_decide_whose_session_it_is(browser, user, settings):
    settings.BFF_SESSIONS = {"PROVIDERS": {"https://configured.example": {"CLIENT_ID": "shop"}}}
    browser.sign_in(user, claims={"sub": "sub-of-alice", "sid": "laptop", "name": "Alice"})
    (row,) = rows(subject_id="sub-of-alice")
    assert (row.issuer, row.session_id) == ("https://configured.example", "laptop")
    answer = browser.get("/bff/user", headers={"X-CSRF": "1"}).json()
    assert answer["claims"]["name"] == "Alice"
    revoke_sessions(UserSessionsFilter(session_id="laptop"))
    assert browser.get("/who").content == b""


def test_views_get_an_access_token(browser, user):
    browser.sign_in(user)
    assert browser.get("/token").content == b"access-token"
    assert browser.get("/atoken").content == b"access-token"


def test_access_token_may_have_expired(browser, user):
    browser.sign_in(user, token={"expires_in": 0})
    assert browser.get("/token").status_code == 401


def test_session_is_returned_and_may_be_written(browser, user):
    session = browser.sign_in(user)
    assert isinstance(session, SessionStore)
    session["cart"] = ["book"]
    if browser.is_async:
        async_to_sync(session.asave)()
    else:
        session.save()
    assert browser.get("/cart").json() == ["book"]
    assert browser.get("/who").content == b"alice"


def test_another_user_replaces_the_first(browser, user):
    first = browser.sign_in(user).session_key
    second = browser.sign_in(UserFactory(username="bob")).session_key
    assert first != second
    assert browser.get("/who").content == b"bob"
    assert rows(subject_id="alice") == []


def test_backend_may_be_given(user, settings):
    backends = [f"django.contrib.auth.backends.{name}" for name in ("BaseBackend", "ModelBackend")]
    settings.AUTHENTICATION_BACKENDS = backends
    assert sign_in(Client(), user)["_auth_user_backend"] == backends[0]
    assert sign_in(Client(), user, backend=backends[1])["_auth_user_backend"] == backends[1]


# A write that changes the subject moves the session.


def test_client_stays_signed_in_after_force_login_and_a_write(user):
    client = Client()
    client.force_login(user)
    before = client.session.session_key
    session = client.session
    session["oidc"] = CLAIMS
    session.save()
    assert client.session.session_key != before
    assert client.get("/who").content == b"alice"
    assert len(rows(subject_id="sub-of-alice")) == 1
    assert SessionStore(before).get("_auth_user_id") is None


def test_client_of_django_is_signed_out_by_such_a_write(user):
    """The move itself is the engine's, and protects from session fixation."""
    client = test.Client()
    client.force_login(user)
    session = client.session
    session["oidc"] = CLAIMS
    session.save()
    assert client.get("/who").content == b""


async def _write_asynchronously(user):
    client = AsyncClient()
    await client.aforce_login(user)
    session = await client.asession()
    await session.aset("oidc", CLAIMS)
    await session.asave()
    response = await client.get("/who")
    moved = await client.asession()
    await moved.acycle_key()
    return response.content, (await client.get("/who")).content


def test_asynchronous_client_stays_signed_in_after_a_write(user):
    assert async_to_sync(_write_asynchronously)(user) == (b"alice", b"alice")


def test_client_follows_a_new_key(user):
    client = Client()
    client.force_login(user)
    client.session.cycle_key()
    assert client.get("/who").content == b"alice"


def test_client_without_a_cookie_gets_a_session():
    client = Client()
    session = client.session
    session["cart"] = ["book"]
    session.save()
    assert client.get("/cart").json() == ["book"]


def test_client_signs_out(user):
    client = Client()
    sign_in(client, user)
    client.logout()
    assert client.get("/who").content == b""
    assert rows(subject_id="alice") == []


# The factory


def test_factory_makes_sessions_in_the_store(user):
    session = SessionFactory(user=user, session_id="laptop", data={"cart": ["book"]})
    assert get_store().get_user_session(session.key) == session
    assert (session.subject_id, session.user_id) == ("alice", str(user.pk))
    assert rows(session_id="laptop") == [session]


def test_factory_makes_expired_and_anonymous_sessions():
    SessionFactory(expired=True)
    assert rows(subject_id="alice") == []
    anonymous = SessionFactory(anonymous=True)
    assert anonymous.subject_id is anonymous.issuer is None
    assert get_store().get_user_session(anonymous.key) == anonymous


def test_factory_builds_without_storing():
    session = SessionFactory.build(subject_id="bob")
    assert session.subject_id == "bob"
    assert get_store().get_user_session(session.key) is None


def test_session_of_factory_is_among_those_of_its_user(user):
    other = SessionFactory(user=user)
    client = Client()
    sign_in(client, user)
    found = client.get("/bff/sessions", headers={"X-CSRF": "1"}).json()["sessions"]
    assert other.public_id in [session["public_id"] for session in found]
    assert len(found) == 2


def test_tickets_of_the_factory_open():
    session = SessionFactory(data={"cart": ["book"]})
    assert open_ticket(session, JSONSerializer())[1] == {"cart": ["book"]}


def test_expired_token_raises(user, rf):
    request = rf.get("/")
    request.session = sign_in(Client(), user, token={"expires_in": 0})
    with pytest.raises(SignInRequired):
        get_access_token(request)
