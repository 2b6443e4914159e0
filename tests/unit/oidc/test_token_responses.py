"""Sign-in from a token response."""

import time
import traceback

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import include, path

import bff_sessions
from bff_sessions import bind_identity, get_access_token
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.oidc.sign_in.token_responses import read_response
from bff_sessions.oidc.tokens import Tokens, keep_tokens
from bff_sessions.stores import get_store
from tests.support.factories import UserFactory
from tests.support.provider import make_id_token, serve

pytestmark = pytest.mark.django_db(transaction=True)

ISSUER = "https://idp.example"
CLAIMS = {"iss": ISSUER, "sub": "alice", "sid": "s1", "name": "Alice", "email": "a@shop.example"}


def response(sub="alice", **more):
    """What Authlib returns of the answer of a token endpoint."""
    return {
        "access_token": f"access-{sub}",
        "refresh_token": f"refresh-{sub}",
        "id_token": make_id_token(iss=ISSUER, sub=sub),
        "token_type": "Bearer",
        "expires_in": 300,
        "expires_at": int(time.time()) + 300,
        "scope": "openid profile",
        "userinfo": {**CLAIMS, "sub": sub},
        **more,
    }


def without(mapping, *names):
    return {name: value for name, value in mapping.items() if name not in names}


def request_of(session_key=None):
    request = RequestFactory().get("/")
    request.session = SessionStore(session_key)
    request.user = AnonymousUser()
    return request


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def sign_in(request):
    """Sign in as code of a project does, and save as the middleware does."""

    def sign_in(user, token, *, of=None, **options):
        of = of or request_of()
        if request.param:
            async_to_sync(bff_sessions.asign_in)(of, user, token, **options)
        else:
            bff_sessions.sign_in(of, user, token, **options)
        of.session.save()
        return of

    return sign_in


@pytest.fixture
def user():
    return UserFactory(username="alice")


def row():
    (found,) = get_store().get_user_sessions(UserSessionsFilter(subject_id="alice"))
    return found


def test_sign_in_stores_identity_claims_and_tokens(sign_in, user):
    request = sign_in(user, response())
    assert request.user == user
    assert (row().issuer, row().session_id, row().user_id) == (ISSUER, "s1", str(user.pk))
    data = SessionStore(request.session.session_key)
    assert data["oidc"]["name"] == "Alice"
    assert keep_tokens(data) == Tokens(
        access_token="access-alice",
        refresh_token="refresh-alice",
        id_token=make_id_token(iss=ISSUER, sub="alice"),
        expires_at=keep_tokens(data).expires_at,
        expires_in=300,
        scope="openid profile",
        issuer=ISSUER,
    )
    assert 290 < keep_tokens(data).seconds_left <= 300


def test_response_needs_an_access_token_and_claims_only(sign_in, user):
    request = sign_in(user, {"access_token": "a"}, claims={"iss": ISSUER, "sub": "alice"})
    assert row().issuer == ISSUER
    assert row().session_id  # Its own, because the provider sends none.
    assert keep_tokens(request.session) == Tokens(access_token="a", issuer=ISSUER)
    assert get_access_token(request) == "a"


def keep_nothing(data, new=None):
    raise RuntimeError("The vault is closed.")


def test_user_whose_tokens_cannot_be_stored_is_signed_out(sign_in, user, settings):
    settings.BFF_SESSIONS = {"TOKENS": f"{__name__}.keep_nothing"}
    request = request_of()
    request.session["cart"] = [1]
    with pytest.raises(RuntimeError, match="vault"):
        sign_in(user, response(), of=request)
    request.session.save()  # The view has handled the error.
    assert request.user == AnonymousUser()
    assert get_store().get_user_sessions(UserSessionsFilter(user_id=str(user.pk))) == []
    assert dict(SessionStore(request.session.session_key).items()) == {}


@pytest.mark.parametrize("expires_in", [300, "300", 300.0])
def test_expires_in_counts_from_now(sign_in, user, expires_in):
    token = without(response(expires_in=expires_in), "expires_at")
    # Not from the issue of the ID token, whose clock is another one.
    claims = {**CLAIMS, "iat": int(time.time()) - 10_000}
    request = sign_in(user, token, claims=claims)
    assert 290 < keep_tokens(request.session).seconds_left <= 300
    assert keep_tokens(request.session).expires_in == 300


@pytest.mark.parametrize("expires_in", ["nan", "inf", -1])
def test_lifetime_that_is_none_counts_from_the_expiry(expires_in):
    tokens = read_response(response(expires_at=time.time() + 300, expires_in=expires_in))
    assert 290 < tokens.expires_in <= 300


def test_claims_win_over_those_of_authlib(sign_in, user):
    request = sign_in(user, response(), claims={**CLAIMS, "roles": ["buyer"]})
    assert request.session["oidc"]["roles"] == ["buyer"]


def test_userinfo_adds_claims(sign_in, user):
    claims = {"iss": ISSUER, "sub": "alice", "email": "verified@shop.example"}
    userinfo = {"sub": "alice", "name": "Alice", "email": "other@shop.example"}
    request = sign_in(user, without(response(), "userinfo"), claims=claims, userinfo=userinfo)
    assert request.session["oidc"]["name"] == "Alice"
    assert request.session["oidc"]["email"] == "verified@shop.example"


def test_claim_with_the_name_of_a_token_is_not_stored(sign_in, user):
    claims = {**CLAIMS, "access_token": "x", "refresh_token": "x", "expires_at": "x"}
    request = sign_in(user, {"access_token": "a"}, claims=claims)
    assert keep_tokens(request.session) == Tokens(access_token="a", issuer=ISSUER)


def test_scope_may_be_a_list(sign_in, user):
    request = sign_in(user, response(scope=["openid", "offline_access"]))
    assert keep_tokens(request.session).is_offline


# What it replaces


def test_sign_in_of_another_user_keeps_nothing_of_the_first(sign_in, user):
    first = sign_in(user, response())
    old_key = first.session.session_key
    second = request_of(old_key)
    second.user = user
    token = {"access_token": "access-bob"}
    sign_in(UserFactory(), token, of=second, claims={"iss": ISSUER, "sub": "bob"})
    assert second.session.session_key != old_key
    assert keep_tokens(second.session) == Tokens(access_token="access-bob", issuer=ISSUER)
    assert "name" not in second.session["oidc"]
    assert not SessionStore().exists(old_key)


def test_sign_in_of_the_same_user_replaces_claims_and_tokens(sign_in, user):
    first = sign_in(user, response())
    second = request_of(first.session.session_key)
    claims = {"iss": ISSUER, "sub": "alice", "sid": "s2"}
    sign_in(user, {"access_token": "a2"}, of=second, claims=claims)
    assert row().session_id == "s2"
    assert keep_tokens(second.session) == Tokens(access_token="a2", issuer=ISSUER)
    assert "name" not in second.session["oidc"]


def test_user_with_another_subject_keeps_nothing_of_the_first(sign_in, user):
    first = sign_in(user, response())
    second = request_of(first.session.session_key)
    sign_in(user, without(response("alice-at-work"), "refresh_token"), of=second)
    assert second.session.session_key != first.session.session_key
    assert keep_tokens(second.session).access_token == "access-alice-at-work"
    assert keep_tokens(second.session).refresh_token is None
    (found,) = Session.objects.exclude(subject_id=None)
    assert found.subject_id == "alice-at-work"


def test_sign_in_replaces_an_earlier_binding(sign_in, user):
    request = sign_in(user, response())
    bind_identity(request, issuer=ISSUER, subject_id="alice", session_id="old")
    request.session.save()
    assert row().session_id == "old"
    sign_in(user, response(), of=request_of(request.session.session_key))
    assert row().session_id == "s1"


def test_binding_of_a_receiver_decides(sign_in, user):
    def bind(request, **kwargs):
        bind_identity(request, issuer=ISSUER, subject_id="alice", session_id="bound")

    user_logged_in.connect(bind)
    try:
        sign_in(user, response())
    finally:
        user_logged_in.disconnect(bind)
    assert row().session_id == "bound"


def test_sign_in_replaces_tokens_of_mozilla_django_oidc(sign_in, user):
    request = request_of()
    request.session["oidc_access_token"] = "theirs"
    request.session["oidc_id_token"] = make_id_token(iss=ISSUER, sub="alice", sid="theirs")
    sign_in(user, response(), of=request)
    assert not [key for key, _ in request.session.items() if key.startswith("oidc_")]
    assert row().session_id == "s1"


def keep_elsewhere(data, new=None):
    if new is not None:
        data["mine"] = new.access_token
    return Tokens(access_token=data["mine"]) if "mine" in data else None


def test_tokens_are_stored_where_the_settings_say(sign_in, user, settings):
    settings.BFF_SESSIONS = {"CLAIMS_KEY": "who", "TOKENS": f"{__name__}.keep_elsewhere"}
    request = sign_in(user, response())
    assert request.session["mine"] == "access-alice"
    assert request.session["who"] == CLAIMS


# What it refuses

FAULTS = {
    "no token": (None, {}, TypeError, "token must be a mapping"),
    "token is text": ("access-secret", {}, TypeError, "token must be a mapping"),
    "no access token": (without(response(), "access_token"), {}, ValueError, "no access_token"),
    "blank access token": (response(access_token=" "), {}, ValueError, "no access_token"),
    "access token is a number": (response(access_token=7), {}, ValueError, "access_token"),
    "no claims": (without(response(), "userinfo"), {}, ValueError, "claims"),
    "no iss": (response(), {"claims": without(CLAIMS, "iss")}, ValueError, "no iss"),
    "no sub": (response(), {"claims": without(CLAIMS, "sub")}, ValueError, "no sub"),
    "sub is a number": (response(), {"claims": {**CLAIMS, "sub": 7}}, ValueError, "no sub"),
    "sub is too long": (
        response(userinfo={}, id_token=None),
        {"claims": {**CLAIMS, "sub": "x" * 256}},
        ValueError,
        "255",
    ),
    "claims are text": (response(), {"claims": "alice"}, TypeError, "claims must be a mapping"),
    "claims of bob": (response(), {"claims": {**CLAIMS, "sub": "bob"}}, ValueError, "sub"),
    "claims of another provider": (
        response(),
        {"claims": {**CLAIMS, "iss": "https://other.example"}},
        ValueError,
        "iss",
    ),
    "ID token of bob": (
        response(id_token=make_id_token(iss=ISSUER, sub="bob")),
        {},
        ValueError,
        "sub",
    ),
    "userinfo of bob": (response(), {"userinfo": {"sub": "bob"}}, ValueError, "userinfo"),
    "userinfo without sub": (response(), {"userinfo": {"name": "Bob"}}, ValueError, "userinfo"),
    "userinfo is text": (response(), {"userinfo": "Bob"}, TypeError, "userinfo must be"),
    "unreadable expires_at": (response(expires_at="tomorrow"), {}, ValueError, "expires_at"),
    "unreadable expires_in": (
        response(expires_at=None, expires_in="an hour"),
        {},
        ValueError,
        "expires_in",
    ),
}


@pytest.mark.parametrize(("token", "options", "kind", "words"), FAULTS.values(), ids=FAULTS)
def test_fault_signs_nobody_in_and_shows_no_secret(sign_in, user, token, options, kind, words):
    request = request_of()
    with pytest.raises(kind, match=words) as caught:
        sign_in(user, token, of=request, **options)
    assert request.user.is_anonymous
    assert dict(request.session.items()) == {}
    text = "".join(traceback.format_exception(caught.value))
    assert not any(secret in text for secret in ("access-alice", "access-secret", "tomorrow"))


def test_encrypted_id_token_is_stored_unread(sign_in, user):
    request = sign_in(user, response(id_token="a.b.c.d.e"))
    assert keep_tokens(request.session).id_token == "a.b.c.d.e"


# As its user would


def callback(request):
    bff_sessions.sign_in(request, UserFactory._meta.model.objects.get(), response())
    return HttpResponse()


async def acallback(request):
    user = await UserFactory._meta.model.objects.aget()
    await bff_sessions.asign_in(request, user, response())
    return HttpResponse()


urlpatterns = [
    path("callback", callback),
    path("acallback", acallback),
    path("bff/", include("bff_sessions.urls")),
]


def test_front_end_sees_the_name_and_signs_out(settings, user):
    settings.ROOT_URLCONF = __name__
    client = Client()
    client.get("/callback")
    answer = client.get("/bff/user", headers={"X-CSRF": "1"}).json()
    assert answer["claims"] == without(CLAIMS, "sid")
    client.post("/bff/logout")
    assert client.get("/bff/user", headers={"X-CSRF": "1"}).status_code == 401


async def _sign_in_asynchronously():
    client = AsyncClient()
    await client.get("/acallback")
    return (await client.get("/bff/user", headers={"X-CSRF": "1"})).json()


def test_asynchronous_view_signs_in(settings, user):
    settings.ROOT_URLCONF = __name__
    answer = async_to_sync(_sign_in_asynchronously)()
    assert answer["claims"]["name"] == "Alice"


def test_access_token_is_refreshed_after_sign_in(sign_in, user, settings, monkeypatch):
    with serve(monkeypatch) as provider:
        settings.BFF_SESSIONS = provider.settings
        given = provider.sign_in()["oidc"]
        token = {name: given[name] for name in ("access_token", "refresh_token", "id_token")}
        claims = {"iss": provider.issuer, "sub": "alice"}
        request = sign_in(user, {**token, "expires_in": 0}, claims=claims)
        fresh = get_access_token(request)
        assert fresh != token["access_token"]
        assert provider.is_valid(fresh)
