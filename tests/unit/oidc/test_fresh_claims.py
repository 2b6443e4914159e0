"""Claims follow a refresh of the tokens: OpenID Connect Core 1.0, 12.2 and 5.3."""

import json
import logging
import time

import jwt
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import RequestFactory

from bff_sessions import aget_access_token, get_access_token
from bff_sessions.claims import standard_claims
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import SignInEnded
from bff_sessions.identity.id_tokens import read_claims
from bff_sessions.models import Session
from bff_sessions.oidc.refresh import fresh_claims, token_endpoint
from bff_sessions.oidc.refresh.id_tokens import IdTokenFault
from bff_sessions.oidc.refresh.userinfo import UserinfoFault
from bff_sessions.oidc.sign_in.step_up import Demand
from tests.support.provider import CLIENT_ID, KEYS, make_id_token, serve
from tests.support.provider import sign as sign_raw
from tests.support.sessions import start

pytestmark = pytest.mark.django_db(transaction=True)

NOW = int(time.time())
SIGNED_IN = NOW - 1000


@pytest.fixture
def provider(settings, monkeypatch):
    monkeypatch.setattr(token_endpoint, "_failed", {})
    with serve(monkeypatch) as provider:
        settings.BFF_SESSIONS = provider.settings
        provider.configure = lambda **options: setattr(
            settings, "BFF_SESSIONS", {"PROVIDERS": {provider.issuer: provider.options | options}}
        )
        yield provider


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def refresh(request):
    """Get an access token that must be refreshed; return the claims of the next request."""

    def refresh(key):
        of = request_of(key)
        if request.param:
            async_to_sync(aget_access_token)(of, margin=10_000)
        else:
            get_access_token(of, margin=10_000)
        return claims_of(key)

    return refresh


def request_of(key):
    request = RequestFactory().get("/")
    request.session = SessionStore(key)
    return request


def claims_of(key):
    return SessionStore(key)["oidc"]


def of_sign_in(provider, **claims):
    """Return the claims of the ID token of the sign-in."""
    names = {"iss": provider.issuer, "sub": "alice", "sid": "s1", "aud": CLIENT_ID}
    return {**names, "iat": SIGNED_IN, "auth_time": SIGNED_IN - 5, "nonce": "n0", **claims}


def sign_in(provider, raw=True, without=(), **claims):
    """Start a session whose access token has expired."""
    old = {k: v for k, v in of_sign_in(provider, **claims).items() if k not in without}
    kept = provider.sign_in(expires_in=-1)["oidc"]
    del kept["sid"]
    kept["id_token"] = make_id_token(**old) if raw else None
    return start(oidc={**kept, **old})


def answer(provider, without=(), key=None, headers=(), algorithm="RS256", **claims):
    """Let the provider refresh with an ID token; return it."""
    now = int(time.time())
    given = {"iss": provider.issuer, "sub": "alice", "sid": "s1", "aud": CLIENT_ID}
    given |= {"iat": now, "exp": now + 60, **claims}
    given = {name: value for name, value in given.items() if name not in without}
    token = jwt.encode(
        given,
        key or KEYS[algorithm],
        algorithm=algorithm,
        headers={"kid": algorithm, **dict(headers)},
    )
    return answer_with(provider, token)


def answer_with(provider, token):
    tokens = {"access_token": "a2", "refresh_token": "r2", "expires_in": 300}
    provider.answers["/token"] = 200, {}, tokens if token is None else tokens | {"id_token": token}
    return token


# A new ID token


def test_new_id_token_replaces_the_claims(provider, refresh):
    key = sign_in(provider, name="Alice", roles=["admin"], org="old")
    token = answer(provider, name="Alice Smith", roles=["reader"], auth_time=SIGNED_IN - 5)
    now = refresh(key)
    assert (now["name"], now["roles"]) == ("Alice Smith", ["reader"])
    assert "org" not in now
    assert (now["access_token"], now["refresh_token"], now["id_token"]) == ("a2", "r2", token)
    assert standard_claims(request_of(key))["name"] == "Alice Smith"


def test_claims_of_the_sign_in_stay(provider, refresh):
    key = sign_in(provider, acr="2", amr=["otp"])
    answer(provider, without=["sid"])
    now = refresh(key)
    for name, value in of_sign_in(provider, acr="2", amr=["otp"]).items():
        assert now[name] == value, name
    assert Session.objects.get().session_id == "s1"


def test_shorter_id_token_does_not_take_the_name_away(provider, refresh):
    """Google's ID tokens of a refresh have no name."""
    key = sign_in(provider, name="Alice", picture="https://a.example/1")
    answer(provider)
    assert refresh(key)["name"] == "Alice"


def test_what_the_project_stores_beside_the_claims_stays(provider, refresh):
    key = sign_in(provider, raw=False, mine=1)
    answer(provider, roles=["reader"], access_token="not a claim", expires_at=1)
    now = refresh(key)
    assert (now["mine"], now["roles"], now["access_token"]) == (1, ["reader"], "a2")
    assert now["expires_at"] > time.time()


def test_claims_follow_each_refresh(provider, refresh):
    key = sign_in(provider, roles=["admin"])
    for roles in (["reader"], ["writer"]):
        answer(provider, roles=roles, nonce="n0")
        assert refresh(key)["roles"] == roles
    answer(provider)
    assert "roles" not in refresh(key)


def test_refresh_is_not_a_sign_in(provider, refresh):
    key = sign_in(provider, without=["sid"])
    before = Session.objects.get()
    answer(provider, sid="another", auth_time=SIGNED_IN - 5)
    assert "sid" not in refresh(key)
    after = Session.objects.get()
    for name in ("session_id", "sign_in_id", "created", "key"):
        assert getattr(after, name) == getattr(before, name)


def test_answer_without_id_token_changes_no_claim(provider, refresh, caplog):
    key = sign_in(provider, roles=["admin"])
    answer_with(provider, None)
    assert refresh(key)["roles"] == ["admin"]
    assert caplog.records == []


def test_acr_follows(provider, refresh):
    key = sign_in(provider, acr="2")
    answer(provider, acr="1")
    assert refresh(key)["acr"] == "1"


def test_auth_time_may_come_later_but_not_later_than_the_sign_in(provider, refresh):
    key = sign_in(provider, without=["auth_time"])
    answer(provider, auth_time=SIGNED_IN)
    assert refresh(key)["auth_time"] == SIGNED_IN
    answer(provider, auth_time=SIGNED_IN + 1)
    assert refresh(key)["auth_time"] == SIGNED_IN


def test_claims_of_the_session_decide_without_its_id_token(provider, refresh):
    key = sign_in(provider, raw=False, name="Alice")
    answer(provider, name="Alice Smith")
    assert refresh(key)["name"] == "Alice Smith"


def test_few_claims_of_a_project_are_enough(provider, refresh):
    key = sign_in(provider, raw=False, without=["aud", "iat", "auth_time", "nonce"])
    answer(provider, nonce="n0", azp=CLIENT_ID, aud=[CLIENT_ID, "api"], roles=["reader"])
    assert refresh(key)["roles"] == ["reader"]


def test_keep_leaves_the_claims_of_the_sign_in(provider, refresh, caplog):
    provider.configure(REFRESH_CLAIMS="keep")
    key = sign_in(provider, roles=["admin"])
    old = claims_of(key)
    answer(provider, roles=["reader"])
    now = refresh(key)
    assert (now["roles"], now["id_token"]) == (["admin"], old["id_token"])
    assert "/keys" not in provider.requests
    assert caplog.records == []


# Wrong ones

OTHER_KEY = KEYS["PS256"]
WRONG = {
    "signed by another": (IdTokenFault.SIGNATURE, {"key": OTHER_KEY}),
    "key for another algorithm": (IdTokenFault.KEY, {"headers": {"kid": "PS256"}}),
    "symmetric": (IdTokenFault.ALGORITHM, {"key": "s" * 64, "algorithm": "HS256"}),
    "no aud": (IdTokenFault.AUDIENCE, {"without": ["aud"]}),
    "aud of another": (IdTokenFault.AUDIENCE, {"aud": "another"}),
    "aud is a number": (IdTokenFault.AUDIENCE, {"aud": [1]}),
    "one more aud": (IdTokenFault.OTHER_AUDIENCE, {"aud": [CLIENT_ID, "another"]}),
    "azp appears": (IdTokenFault.PARTY, {"azp": CLIENT_ID}),
    "no exp": (IdTokenFault.EXPIRED, {"without": ["exp"]}),
    "expired": (IdTokenFault.EXPIRED, {"exp": NOW - 3600}),
    "exp is a text": (IdTokenFault.EXPIRED, {"exp": str(NOW + 3600)}),
    "no iat": (IdTokenFault.ISSUED, {"without": ["iat"]}),
    "iat of the sign-in": (IdTokenFault.ISSUED, {"iat": SIGNED_IN}),
    "iat in the future": (IdTokenFault.ISSUED, {"iat": NOW + 3600}),
    "iat is true": (IdTokenFault.ISSUED, {"iat": True}),
    "auth_time of the refresh": (IdTokenFault.AUTH_TIME, {"auth_time": NOW}),
    "auth_time is a text": (IdTokenFault.AUTH_TIME, {"auth_time": str(SIGNED_IN - 5)}),
    "other nonce": (IdTokenFault.NONCE, {"nonce": "n1"}),
    "other sid": (IdTokenFault.SESSION, {"sid": "s2"}),
    "no sub": (IdTokenFault.NOBODY, {"without": ["sub"]}),
    "no iss": (IdTokenFault.NOBODY, {"without": ["iss"]}),
    "crit": (IdTokenFault.UNREADABLE, {"headers": {"crit": ["b64"], "b64": True}}),
}


@pytest.mark.parametrize(("fault", "changes"), WRONG.values(), ids=WRONG)
def test_wrong_id_token_changes_nothing_and_is_reported_once(
    provider, refresh, caplog, fault, changes
):
    key = sign_in(provider, roles=["admin"])
    before = claims_of(key)
    token = answer(provider, roles=["reader"], **changes)
    for _ in range(2):
        now = refresh(key)
        assert (now["access_token"], now["refresh_token"]) == ("a2", "r2")
        for name in before.keys() - {"access_token", "refresh_token", "expires_at", "expires_in"}:
            assert now[name] == before[name], name
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.WARNING)
    assert fault.value in record.getMessage()
    assert provider.issuer in record.getMessage()
    assert not any(part in caplog.text for part in token.split("."))


@pytest.mark.parametrize("alg", ["none", ["RS256"], {"RS256": 1}], ids=str)
def test_odd_key_of_the_provider_does_not_lose_the_refresh_token(provider, refresh, alg):
    provider.keys = [provider.keys[0] | {"kid": "odd", "alg": alg}, *provider.keys]
    key = sign_in(provider, roles=["admin"])
    token = answer(provider, roles=["reader"])
    now = refresh(key)
    assert (now["access_token"], now["refresh_token"], now["id_token"]) == ("a2", "r2", token)
    assert now["roles"] == ["reader"]


@pytest.mark.parametrize("error", [ValueError, NotImplementedError, RecursionError, KeyError])
def test_fault_in_reading_an_id_token_does_not_lose_the_refresh_token(
    provider, refresh, caplog, monkeypatch, error
):
    def fail(token, *args, **kwargs):
        raise error(token)

    key = sign_in(provider, roles=["admin"])
    before = claims_of(key)
    token = answer(provider, roles=["reader"])
    monkeypatch.setattr(fresh_claims, "verify_id_token", fail)
    for _ in range(2):
        now = refresh(key)
        assert (now["access_token"], now["refresh_token"]) == ("a2", "r2")
        assert (now["id_token"], now["roles"]) == (before["id_token"], ["admin"])
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.ERROR)
    assert record.getMessage() == (
        f"The claims with which {provider.issuer} refreshes cannot be read: {error.__name__}. The "
        "session keeps its ID token and its claims."
    )
    assert not any(part in caplog.text for part in token.split("."))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_process_that_ends_while_it_reads_an_id_token_saves_the_refresh_token(
    provider, monkeypatch, error
):
    def stop(*args, **kwargs):
        raise error

    key = sign_in(provider, roles=["admin"])
    before = claims_of(key)
    answer(provider, roles=["reader"])
    monkeypatch.setattr(fresh_claims, "verify_id_token", stop)
    with pytest.raises(error):
        get_access_token(request_of(key), margin=10_000)
    now = claims_of(key)
    assert (now["access_token"], now["refresh_token"]) == ("a2", "r2")
    assert (now["id_token"], now["roles"]) == (before["id_token"], ["admin"])


# What json can just read depends on the version of Python.
@pytest.mark.parametrize("depth", [100, 300, 5_000])
def test_deep_claims_do_not_lose_the_refresh_token(provider, refresh, depth):
    key = sign_in(provider)
    claims = {"iss": provider.issuer, "sub": "alice", "sid": "s1", "aud": CLIENT_ID, "deep": "x"}
    claims |= {"iat": int(time.time()), "exp": int(time.time()) + 60}
    text = json.dumps(claims).replace('"x"', "[" * depth + "]" * depth)
    answer_with(
        provider, sign_raw({"alg": "RS256", "kid": "RS256"}, text.encode(), KEYS["RS256"], "RS256")
    )
    now = refresh(key)
    assert (now["access_token"], now["refresh_token"]) == ("a2", "r2")


def test_every_fault_is_tried():
    others = {IdTokenFault.KEYS_UNAVAILABLE, IdTokenFault.NO_KEYS, IdTokenFault.ISSUER}
    assert {fault for fault, _ in WRONG.values()} | others == set(IdTokenFault)


def test_azp_that_goes_away_is_wrong(provider, refresh, caplog):
    key = sign_in(provider, azp=CLIENT_ID, roles=["admin"])
    answer(provider, roles=["reader"])
    assert refresh(key)["roles"] == ["admin"]
    assert IdTokenFault.PARTY.value in caplog.text


def test_azp_of_another_is_wrong_where_the_sign_in_does_not_say(provider, refresh, caplog):
    key = sign_in(provider, raw=False, without=["aud"], roles=["admin"])
    answer(provider, azp="another", roles=["reader"])
    assert refresh(key)["roles"] == ["admin"]
    assert IdTokenFault.PARTY.value in caplog.text


def test_time_of_sign_in_that_nothing_confirms_is_left_out(provider, refresh):
    key = sign_in(provider, raw=False, without=["iat", "auth_time"])
    answer(provider, auth_time=NOW, roles=["reader"])
    now = refresh(key)
    assert "auth_time" not in now
    assert now["roles"] == ["reader"]


@pytest.mark.parametrize("raw", [True, False])
def test_time_of_sign_in_is_refused_if_the_sign_in_has_no_valid_iat(provider, refresh, caplog, raw):
    key = sign_in(provider, raw=raw, without=["auth_time"], iat=str(SIGNED_IN))
    answer(provider, auth_time=NOW)
    assert "auth_time" not in refresh(key)
    assert IdTokenFault.AUTH_TIME.value in caplog.text


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ((503, {}, ""), IdTokenFault.KEYS_UNAVAILABLE),
        ((200, {}, "secret"), IdTokenFault.KEYS_UNAVAILABLE),
        ((200, {}, {"keys": []}), IdTokenFault.KEYS_UNAVAILABLE),
    ],
)
def test_provider_whose_keys_are_away_changes_no_claim(provider, refresh, caplog, keys, fault):
    provider.answers["/keys"] = keys
    key = sign_in(provider, roles=["admin"])
    answer(provider, roles=["reader"])
    assert refresh(key)["roles"] == ["admin"]
    assert claims_of(key)["refresh_token"] == "r2"
    assert fault.value in caplog.text


def test_provider_without_keys_changes_no_claim(provider, refresh, caplog):
    provider.configure(JWKS_URI=None)
    key = sign_in(provider, roles=["admin"])
    answer(provider, roles=["reader"])
    assert refresh(key)["roles"] == ["admin"]
    assert IdTokenFault.NO_KEYS.value in caplog.text


def test_causes_are_reported_one_by_one(provider, refresh, caplog):
    key = sign_in(provider)
    for changes in ({"aud": "another"}, {"nonce": "n1"}, {"aud": "another"}):
        answer(provider, **changes)
        refresh(key)
    assert len(caplog.records) == 2


# Another subject


@pytest.mark.parametrize("key", [None, OTHER_KEY], ids=["signed", "wrongly signed"])
@pytest.mark.parametrize("options", [{}, {"REFRESH_CLAIMS": "keep"}])
@pytest.mark.parametrize("changes", [{"sub": "bob"}, {"iss": "https://else.example"}])
def test_other_subject_ends_the_session(provider, refresh, changes, options, key):
    provider.configure(**options)
    session_key = sign_in(provider)
    answer(provider, key=key, **changes)
    with pytest.raises(SignInEnded):
        refresh(session_key)
    assert not Session.objects.exists()


def bind(provider, issuer=None):
    given = provider.sign_in(expires_in=-1)["oidc"]
    names = ("access_token", "refresh_token", "expires_at")
    return start(
        _bff_identity={"iss": issuer or provider.issuer, "sub": "alice", "sid": None},
        oidc={"tokens of": provider.issuer, **{name: given[name] for name in names}},
    )


def test_other_subject_than_the_session_is_bound_to_ends_it(provider, refresh):
    key = bind(provider)
    answer(provider, sub="bob")
    with pytest.raises(SignInEnded):
        refresh(key)
    assert not Session.objects.exists()


def test_bound_session_gets_no_claims(provider, refresh):
    key = bind(provider)
    answer(provider, without=["sid"], roles=["reader"])
    assert "roles" not in refresh(key)


# mozilla-django-oidc: the ID token has the claims, and says whose session it is.


def start_as_mozilla(provider, **claims):
    given = provider.sign_in()["oidc"]
    return start(
        oidc_id_token=make_id_token(**of_sign_in(provider, **claims)),
        oidc_access_token=given["access_token"],
        oidc_refresh_token=given["refresh_token"],
        oidc_token_expiration=time.time() - 1,
    )


def names_after_refresh(key):
    get_access_token(request_of(key), margin=10_000)
    return standard_claims(request_of(key)).get("name")


def test_id_token_of_mozilla_follows(provider):
    key = start_as_mozilla(provider, name="Alice")
    answer(provider, name="Alice Smith", auth_time=SIGNED_IN - 5)
    assert names_after_refresh(key) == "Alice Smith"
    assert Session.objects.get().session_id == "s1"


def test_id_token_of_mozilla_without_auth_time_is_not_a_recent_sign_in(provider):
    """Roles follow, and a view that demands a recent sign-in asks for another one."""
    demand = Demand.of(10**6, "2")
    signed_in = int(time.time()) - 60
    times = {"iat": signed_in, "auth_time": signed_in}
    key = start_as_mozilla(provider, acr="2", roles=["admin"], **times)
    assert demand.is_met(read_claims(SessionStore(key)["oidc_id_token"]), provider.issuer)
    answer(provider, roles=["reader"])
    get_access_token(request_of(key), margin=10_000)
    now = read_claims(SessionStore(key)["oidc_id_token"])
    assert now["roles"] == ["reader"]
    assert not demand.is_met(now, provider.issuer)


@pytest.mark.parametrize("without", [["sid"], []])
def test_id_token_of_mozilla_stays_if_the_session_would_be_another(provider, caplog, without):
    key = start_as_mozilla(provider, name="Alice", **({} if without else {"sid": None}))
    before = Session.objects.get().session_id
    answer(provider, without=without, name="Alice Smith")
    assert names_after_refresh(key) == "Alice"
    assert IdTokenFault.SESSION.value in caplog.text
    assert Session.objects.get().session_id == before


# The UserInfo endpoint


@pytest.fixture
def userinfo(provider):
    """Answers of the UserInfo endpoint."""
    provider.configure(REFRESH_CLAIMS="userinfo")

    def userinfo(*, status=200, body=None, **claims):
        body = {"sub": "alice", **claims} if body is None else body
        provider.answers["/userinfo"] = status, {}, body

    return userinfo


def test_userinfo_replaces_the_claims(provider, refresh, userinfo):
    key = sign_in(provider, raw=False, name="Alice", roles=["admin"], acr="2")
    answer_with(provider, None)
    userinfo(email="alice@shop.example", roles=["reader"])
    now = refresh(key)
    assert (now["email"], now["roles"], now["acr"]) == ("alice@shop.example", ["reader"], "2")
    assert "name" not in now
    assert now["refresh_token"] == "r2"
    (headers,) = [headers for path, _, headers in provider.forms if path == "/userinfo"]
    assert headers["Authorization"] == "Bearer a2"


def test_userinfo_does_not_speak_of_the_sign_in(provider, refresh, userinfo):
    key = sign_in(provider)
    answer_with(provider, None)
    forged = {"acr": "9", "auth_time": NOW, "sid": "s9", "aud": "another", "access_token": "x"}
    userinfo(**forged)
    now = refresh(key)
    assert {name for name in forged if now.get(name) == forged[name]} == set()


def test_id_token_counts_more_than_userinfo(provider, refresh, userinfo):
    key = sign_in(provider, roles=["admin"])
    answer(provider, roles=["reader"])
    userinfo(roles=["writer"], name="Alice")
    now = refresh(key)
    assert (now["roles"], now["name"]) == (["reader"], "Alice")


def test_claims_of_the_older_id_token_stay_beside_userinfo(provider, refresh, userinfo):
    key = sign_in(provider, roles=["admin"], name="Alice")
    answer_with(provider, None)
    userinfo(name="Alice Smith")
    now = refresh(key)
    assert (now["roles"], now["name"]) == (["admin"], "Alice Smith")


@pytest.mark.parametrize("claims", [{"sub": "bob"}, {"iss": "https://else.example"}])
def test_userinfo_of_another_subject_ends_the_session(provider, refresh, userinfo, claims):
    key = sign_in(provider)
    answer_with(provider, None)
    userinfo(**claims)
    with pytest.raises(SignInEnded):
        refresh(key)
    assert not Session.objects.exists()


USERINFO = {
    "no sub": (UserinfoFault.NOBODY, {"body": {"name": "Mallory"}}),
    "sub is a number": (UserinfoFault.NOBODY, {"body": {"sub": 0}}),
    "encrypted": (UserinfoFault.ENCRYPTED, {"body": "secret-0..secret-1.secret-2.secret-3"}),
    "not a JWT": (UserinfoFault.UNREADABLE, {"body": "secret-0.secret-1.secret-2"}),
    "a list": (UserinfoFault.UNREADABLE, {"body": '["secret-0"]'}),
    "refused": (UserinfoFault.UNAVAILABLE, {"status": 401}),
    "no content": (UserinfoFault.UNAVAILABLE, {"status": 204, "body": ""}),
    "away": (UserinfoFault.UNAVAILABLE, {"status": 503}),
    "redirect": (UserinfoFault.UNAVAILABLE, {"status": 302}),
    "too long": (UserinfoFault.UNAVAILABLE, {"body": "x" * 300_000}),
}


@pytest.mark.parametrize(("fault", "options"), USERINFO.values(), ids=USERINFO)
def test_wrong_userinfo_changes_nothing_and_is_reported_once(
    provider, refresh, userinfo, caplog, fault, options
):
    key = sign_in(provider, name="Alice", roles=["admin"])
    answer_with(provider, None)
    userinfo(**options)
    for _ in range(2):
        now = refresh(key)
        assert (now["name"], now["roles"], now["refresh_token"]) == ("Alice", ["admin"], "r2")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert fault.value in record.getMessage()
    assert not any(secret in caplog.text for secret in ("secret", "Mallory", "a2"))


def sign(provider, without=(), key=None, headers=(), algorithm="RS256", **claims):
    """Return a signed UserInfo response: OpenID Connect Core 1.0, 5.3.2."""
    given = {"iss": provider.issuer, "aud": CLIENT_ID, "sub": "alice", "name": "Alice Smith"}
    given = {name: value for name, value in {**given, **claims}.items() if name not in without}
    headers = {"kid": algorithm, **dict(headers)}
    key = KEYS[algorithm] if key is None else key
    return jwt.encode(given, key, algorithm=algorithm, headers=headers)


@pytest.mark.parametrize(
    "claims", [{}, {"aud": ["another", CLIENT_ID]}, {"exp": NOW + 3600}, {"algorithm": "ES256"}]
)
def test_signed_userinfo_replaces_the_claims(provider, refresh, userinfo, claims):
    key = sign_in(provider, roles=["admin"], name="Alice", raw=False)
    answer_with(provider, None)
    userinfo(body=sign(provider, roles=["reader"], iat=NOW, **claims))
    now = refresh(key)
    assert (now["name"], now["roles"], now["refresh_token"]) == ("Alice Smith", ["reader"], "r2")
    # What is said of the response is not said of the sign-in.
    assert (now["aud"], now["iat"], now.get("exp")) == (CLIENT_ID, SIGNED_IN, None)
    (headers,) = [headers for path, _, headers in provider.forms if path == "/userinfo"]
    assert headers["Accept"] == "application/json, application/jwt"


@pytest.mark.parametrize("changes", [{}, {"key": OTHER_KEY}])
def test_signed_userinfo_of_another_subject_ends_the_session(provider, refresh, userinfo, changes):
    key = sign_in(provider)
    answer_with(provider, None)
    userinfo(body=sign(provider, sub="bob", **changes))
    with pytest.raises(SignInEnded):
        refresh(key)
    assert not Session.objects.exists()


SIGNED = {
    "signed by another": (UserinfoFault.SIGNATURE, {"key": OTHER_KEY}),
    "key for another algorithm": (UserinfoFault.KEY, {"headers": {"kid": "PS256"}}),
    "symmetric": (UserinfoFault.ALGORITHM, {"key": "s" * 64, "algorithm": "HS256"}),
    "not signed": (UserinfoFault.ALGORITHM, {"key": "", "algorithm": "none"}),
    "iss of another": (UserinfoFault.ISSUER, {"iss": "https://else.example"}),
    "no iss": (UserinfoFault.ISSUER, {"without": ["iss"]}),
    "aud of another": (UserinfoFault.AUDIENCE, {"aud": "another"}),
    "aud has others only": (UserinfoFault.AUDIENCE, {"aud": ["another"]}),
    "no aud": (UserinfoFault.AUDIENCE, {"without": ["aud"]}),
    "expired": (UserinfoFault.EXPIRED, {"exp": NOW - 3600}),
    "exp is a text": (UserinfoFault.EXPIRED, {"exp": str(NOW + 3600)}),
    "signed without sub": (UserinfoFault.NOBODY, {"without": ["sub"]}),
    "crit": (UserinfoFault.UNREADABLE, {"headers": {"crit": ["b64"], "b64": True}}),
}


@pytest.mark.parametrize(("fault", "changes"), SIGNED.values(), ids=SIGNED)
def test_wrong_signed_userinfo_changes_nothing_and_is_reported_once(
    provider, refresh, userinfo, caplog, fault, changes
):
    key = sign_in(provider, name="Alice")
    answer_with(provider, None)
    token = sign(provider, **changes)
    userinfo(body=token)
    for _ in range(2):
        now = refresh(key)
        assert (now["name"], now["refresh_token"]) == ("Alice", "r2")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.WARNING)
    assert fault.value in record.getMessage()
    assert not any(part in caplog.text for part in token.split(".") if part)


@pytest.mark.parametrize(
    ("fault", "answer"),
    [(UserinfoFault.KEYS_UNAVAILABLE, (503, {}, None)), (UserinfoFault.NO_KEYS, None)],
)
def test_signed_userinfo_needs_the_keys_of_the_provider(
    provider, refresh, userinfo, caplog, fault, answer
):
    if answer is None:
        provider.configure(REFRESH_CLAIMS="userinfo", JWKS_URI=None)
    else:
        provider.answers["/keys"] = answer
    key = sign_in(provider, name="Alice")
    answer_with(provider, None)
    userinfo(body=sign(provider))
    assert refresh(key)["name"] == "Alice"
    assert fault.value in caplog.text


def test_every_fault_of_userinfo_is_tried():
    others = {UserinfoFault.NO_ENDPOINT, UserinfoFault.KEYS_UNAVAILABLE, UserinfoFault.NO_KEYS}
    tried = {fault for fault, _ in [*USERINFO.values(), *SIGNED.values()]}
    assert tried | others == set(UserinfoFault)


def test_provider_without_userinfo_endpoint_is_reported(provider, refresh, caplog):
    provider.configure(REFRESH_CLAIMS="userinfo", USERINFO_ENDPOINT=None)
    key = sign_in(provider, name="Alice")
    answer_with(provider, None)
    assert refresh(key)["name"] == "Alice"
    assert UserinfoFault.NO_ENDPOINT.value in caplog.text


def test_slow_userinfo_delays_a_refresh_for_some_seconds_only(
    provider, refresh, userinfo, monkeypatch
):
    monkeypatch.setattr(fresh_claims, "_TIMEOUT", 0.2)
    provider.before["/userinfo"] = lambda form: time.sleep(1)
    key = sign_in(provider, name="Alice")
    answer_with(provider, None)
    userinfo(name="Alice Smith")
    now = refresh(key)
    assert (now["name"], now["refresh_token"]) == ("Alice", "r2")


# While another request saves


def test_what_another_request_saves_meanwhile_is_merged(provider, refresh):
    key = sign_in(provider, roles=["admin"])

    def save_another(form):
        session = SessionStore(key)
        session["cart"] = "full"
        session.save()
        connection.close()

    provider.before["/token"] = save_another
    answer(provider, roles=["reader"])
    now = refresh(key)
    assert (now["roles"], now["refresh_token"]) == (["reader"], "r2")
    assert SessionStore(key)["cart"] == "full"


def test_sign_in_meanwhile_wins_over_the_refresh(provider, refresh):
    key = sign_in(provider, roles=["admin"])
    times = {"auth_time": NOW, "iat": NOW}

    def sign_in_again(form):
        session = SessionStore(key)
        session["oidc"] = of_sign_in(provider, **times, acr="2", access_token="b1")
        session.save()
        connection.close()

    provider.before["/token"] = sign_in_again
    answer(provider, roles=["reader"])
    now = refresh(key)
    assert (now["auth_time"], now["acr"], now["access_token"]) == (NOW, "2", "b1")
    assert "roles" not in now
