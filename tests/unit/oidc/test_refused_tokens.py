"""One test for each way in which a logout token can be wrong."""

import logging
import re
import time
from functools import partial
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.urls import reverse

from bff_sessions.models import Logout, Session
from bff_sessions.oidc.logout.tokens import LogoutTokenInvalid, Reason, verify_logout_token
from bff_sessions.oidc.options import addresses
from tests.support.factories import SessionFactory
from tests.support.provider import EVENT, KEYS, encode, forget_keys, public_jwk
from tests.support.wrong_tokens import (
    ALGORITHM,
    AUDIENCE,
    FORGED,
    ID,
    ISSUED,
    ISSUER,
    KEY,
    MALFORMED,
    NO_NUMBERS,
    SIGNATURE,
    UNKNOWN_KEY,
    claim,
    hmac,
)

pytestmark = pytest.mark.django_db

OTHER_EVENT = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"


def now():
    return int(time.time())


TYPE = {
    "of an access token": lambda p: p.token(headers={"typ": "at+jwt"}),
    "of a security event": lambda p: p.token(headers={"typ": "secevent+jwt"}),
    "of a request object": lambda p: p.token(headers={"typ": "oauth-authz-req+jwt"}),
    "of another media type": lambda p: p.token(headers={"typ": "text/logout+jwt"}),
    "typ is empty": lambda p: p.token(headers={"typ": ""}),
    "typ is null": lambda p: p.token(headers={"typ": None}),
    "typ is a number": lambda p: p.token(headers={"typ": 1}),
    "typ is a list": lambda p: p.token(headers={"typ": ["logout+jwt"]}),
}
EXPIRES = {name: lambda p, v=value: claim(p, "exp", v) for name, value in NO_NUMBERS.items()}
EXPIRED = {
    "an hour ago": lambda p: p.token(exp=now() - 3600),
    "before the leeway": lambda p: p.token(exp=now() - 61),
    "in 1970": lambda p: p.token(exp=0),
}
PREMATURE = {
    "in an hour": lambda p: p.token(iat=now() + 3600, exp=now() + 7200),
    "after the leeway": lambda p: p.token(iat=now() + 65),
}
OUTDATED = {
    "an hour ago": lambda p: p.token(iat=now() - 3600),
    "before age and leeway": lambda p: p.token(iat=now() - 661),
    "in 1970": lambda p: p.token(iat=0),
}
EVENTS = {
    "absent": lambda p: p.token(without=["events"]),
    "null": lambda p: p.token(events=None),
    "empty": lambda p: p.token(events={}),
    "a text": lambda p: p.token(events=EVENT),
    "a list": lambda p: p.token(events=[EVENT]),
    "another event": lambda p: p.token(events={OTHER_EVENT: {}}),
    "member is null": lambda p: p.token(events={EVENT: None}),
    "member is true": lambda p: p.token(events={EVENT: True}),
    "member is a text": lambda p: p.token(events={EVENT: "{}"}),
    "member is a list": lambda p: p.token(events={EVENT: []}),
    "member with https": lambda p: p.token(events={EVENT.replace("http:", "https:"): {}}),
    "member with a slash more": lambda p: p.token(events={EVENT + "/": {}}),
}
NONCE = {
    "a text": lambda p: p.token(nonce="n-0S6_WzA2Mj"),
    "empty": lambda p: p.token(nonce=""),
    "null": lambda p: p.token(nonce=None),
    "false": lambda p: p.token(nonce=False),
}
NO_TEXTS = {
    "null": None,
    "empty": "",
    "blank": " \t",
    "a number": 42,
    "true": True,
    "a list": ["alice"],
    "an object": {"alice": 1},
    "256 characters": "a" * 256,
    "a NUL": "alice\0",
    "half a character": "alice\ud800",
}
SUBJECT = {name: lambda p, v=value: p.token(sub=v) for name, value in NO_TEXTS.items()}
SUBJECT["null, without sid"] = lambda p: p.token(sub=None, without=["sid"])
SESSION = {name: lambda p, v=value: p.token(sid=v) for name, value in NO_TEXTS.items()}
SESSION["null, without sub"] = lambda p: p.token(sid=None, without=["sub"])
NOBODY = {"neither sub nor sid": lambda p: p.token(without=["sub", "sid"])}

REFUSED = {
    Reason.MALFORMED: MALFORMED,
    Reason.ALGORITHM: ALGORITHM,
    Reason.TYPE: TYPE,
    Reason.ISSUER: ISSUER,
    Reason.KEY: KEY,
    Reason.SIGNATURE: SIGNATURE,
    Reason.AUDIENCE: AUDIENCE,
    Reason.EXPIRES: EXPIRES,
    Reason.EXPIRED: EXPIRED,
    Reason.ISSUED: ISSUED,
    Reason.PREMATURE: PREMATURE,
    Reason.OUTDATED: OUTDATED,
    Reason.ID: ID,
    Reason.EVENT: EVENTS,
    Reason.NONCE: NONCE,
    Reason.SUBJECT: SUBJECT,
    Reason.SESSION: SESSION,
    Reason.NOBODY: NOBODY,
}
# What is told before the provider is asked for its keys.
BEFORE_ANY_FETCH = (Reason.MALFORMED, Reason.ALGORITHM, Reason.TYPE, Reason.ISSUER)


@pytest.fixture
def post(client):
    def post(token):
        return client.post(reverse("bff_sessions:backchannel-logout"), *form(logout_token=token))

    return post


def form(**fields):
    return urlencode(fields), "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        pytest.param(reason, make, id=f"{reason.name}: {name}")
        for reason, tokens in REFUSED.items()
        for name, make in tokens.items()
    ],
)
def test_it_is_refused_for_its_reason_and_ends_nothing(provider, post, caplog, reason, make):
    caplog.set_level(logging.DEBUG)
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="laptop")
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="phone")
    token = make(provider)
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(token)
    assert caught.value.reason is reason
    # The provider with its keys: otherwise it would not look for an unknown key again at once.
    forget_keys()
    response = post(token)
    assert response.status_code == 400
    assert response.json() == {"error": "invalid_request", "error_description": reason.value}
    assert response["Cache-Control"] == "no-store"
    assert Session.objects.count() == 2
    assert not Logout.objects.exists()
    if reason in BEFORE_ANY_FETCH:
        assert provider.requests == []
    said = "".join(record.getMessage() for record in caplog.records)
    for part in [*token.split("."), "alice", "laptop"]:
        assert len(part) < 4 or part not in said


# With a key that the provider may publish soon


def assert_sent_again(response):
    assert response.status_code == 503
    assert response["Retry-After"] == "30"
    assert response["Cache-Control"] == "no-store"
    assert response.json()["error"] == "temporarily_unavailable"
    assert Session.objects.count() == 1
    assert not Logout.objects.exists()


@pytest.mark.parametrize("make", UNKNOWN_KEY.values(), ids=UNKNOWN_KEY)
def test_token_with_an_unknown_key_is_asked_for_again(provider, post, caplog, make):
    SessionFactory(issuer=provider.issuer)
    for _ in range(3):
        assert_sent_again(post(make(provider)))
    assert provider.requests.count("/keys") == 2
    records = [record for record in caplog.records if record.name == "bff_sessions.logout"]
    assert {record.levelno for record in records} == {logging.WARNING}
    assert "do not include" in records[0].getMessage()


def test_new_key_that_is_published_late_ends_the_session(provider, post, clock):
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="laptop")
    token = provider.token(key=FORGED, headers={"kid": "new"})
    assert_sent_again(post(token))
    provider.keys.append(public_jwk(FORGED, "RS256", kid="new", alg="RS256"))
    clock.advance(30)
    assert post(token).status_code == 200
    assert not Session.objects.exists()


REPLACED = {
    "without kid": ({}, {}, {"kid": ...}),
    "without kid, other algorithm": (
        {},
        {"algorithm": "ES256", "key": KEYS["ES256"]},
        {"kid": ...},
    ),
    "same kid": ({"kid": "same"}, {}, {"kid": "same"}),
    "same kid, other algorithm": (
        {"kid": "same"},
        {"algorithm": "ES256", "key": KEYS["ES256"]},
        {"kid": "same"},
    ),
}


@pytest.mark.parametrize(("members", "options", "headers"), REPLACED.values(), ids=REPLACED)
def test_replaced_key_is_found(provider, post, clock, members, options, headers):
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="laptop")
    options = {"algorithm": "RS256", "key": FORGED} | options
    new = public_jwk(options["key"], options["algorithm"], alg=options["algorithm"], **members)
    old = public_jwk(KEYS["RS256"], "RS256", alg="RS256", **members)
    provider.keys = [old]
    assert post(provider.token(headers=headers, sid="other")).status_code == 200
    # Anybody can send a wrong signature, which is final after the keys have been read again.
    forged = provider.token(key=KEYS["PS256"], headers=headers)
    assert post(forged).status_code == 400
    assert post(forged).status_code == 503
    provider.keys = [new]
    token = provider.token(headers=headers, **options)
    assert post(token).status_code == 503
    assert Session.objects.count() == 1
    clock.advance(30)
    assert post(token).status_code == 200
    assert not Session.objects.exists()
    assert provider.requests.count("/keys") == 3


def test_wrong_signatures_do_not_read_the_keys_more_often(provider, post, clock):
    for count in (2, 3, 4):
        assert post(provider.token(key=FORGED)).status_code == 400
        for number in range(20):
            response = post(provider.token(key=FORGED, headers={"kid": ("RS256", "x")[number % 2]}))
            assert (response.status_code, response["Retry-After"]) == (503, "30")
        assert provider.requests.count("/keys") == count
        clock.advance(30)
    assert post(provider.token()).status_code == 200


# What the operator reads, and the provider does not


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (
            lambda p: p.token(iss=p.issuer + "/"),
            "It is '{issuer}/'. The nearest configured issuer is '{issuer}': only the final slash "
            "differs.",
        ),
        (
            lambda p: p.token(iss="https://idp.example"),
            "It is 'https://idp.example'. The nearest configured issuer is '{issuer}'.",
        ),
        (lambda p: p.token(iss=["a"]), "It is ['a']."),
        (lambda p: p.token(aud="another"), "It is 'another'; CLIENT_ID is 'shop'."),
        (lambda p: p.token(headers={"typ": "at+jwt"}), "It is 'at+jwt'."),
        (lambda p: p.token(headers={"alg": "none"}), "It is 'none'; ALGORITHMS of {issuer} are RS"),
        (lambda p: p.token(headers={"kid": "ES256"}), "Its kid is 'ES256', its alg RS256;"),
        (lambda p: p.token(exp=now() - 300), "Its exp was … seconds ago; LEEWAY is 60."),
        (lambda p: p.token(iat=now() + 300), "Its iat is … seconds ahead; LEEWAY is 60."),
        (
            lambda p: p.token(iat=now() - 3600),
            "Its iat was … seconds ago; MAX_AGE is 600 and LEEWAY 60.",
        ),
    ],
    ids=["slash", "issuer", "no text", "aud", "typ", "alg", "kid", "exp", "iat ahead", "iat ago"],
)
def test_refusal_is_logged_with_what_to_compare(provider, post, caplog, make, detail):
    response = post(make(provider))
    (record,) = [record for record in caplog.records if record.name == "bff_sessions.logout"]
    text = re.sub(r"\d+ seconds", "… seconds", record.getMessage())
    assert detail.format(issuer=provider.issuer) in text
    assert record.getMessage().startswith("A logout was refused. The ")
    assert response.json()["error_description"] in {reason.value for reason in Reason}


def test_issuer_is_compared_with_few_others(provider, post, settings, caplog, monkeypatch):
    others = {f"https://idp{number}.example": {"CLIENT_ID": "shop"} for number in range(10)}
    settings.BFF_SESSIONS = {"PROVIDERS": {**settings.BFF_SESSIONS["PROVIDERS"], **others}}
    compared = []
    guess = addresses.closest

    def closest(word, choices, **options):
        compared.append(len(list(choices)))
        return guess(word, choices, **options)

    monkeypatch.setattr(addresses, "closest", closest)
    post(provider.token(iss="https://idp.example"))
    assert "It is not among the 11 configured issuers." in caplog.text
    post(provider.token(iss="https://idp5.example/"))
    assert "nearest configured issuer is 'https://idp5.example': only the final" in caplog.text
    assert compared == [1]


def test_claims_in_the_log_are_short_and_ascii(provider, post, caplog):
    post(provider.token(iss="https://idp.example/\n\x1b[2J\u202e" + "x" * 10_000))
    (record,) = [record for record in caplog.records if record.name == "bff_sessions.logout"]
    text = record.getMessage()
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 500


def test_every_reason_but_replay_is_tried():
    # Without a key set no token reaches the other checks: see test_backchannel_logout.py.
    assert {*Reason} - {*REFUSED} == {Reason.REPLAYED, Reason.NO_KEYS}
    assert sum(map(len, REFUSED.values())) > 100


def test_every_reason_is_a_description_of_oauth():
    # RFC 6749, 5.2.
    for reason in Reason:
        assert all(" " <= character <= "~" and character not in '"\\' for character in reason.value)


# What is refused because of a setting


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "application/jwt"])
def test_with_strict_typ_only_its_own_is_taken(provider, configure, post, typ):
    configure({"BACKCHANNEL_LOGOUT": {"STRICT_TYP": True}})
    assert post(provider.token(headers={"typ": typ})).status_code == 400
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token(headers={"typ": typ}))
    assert caught.value.reason is Reason.TYPE


@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
@pytest.mark.parametrize("strict", [False, True])
def test_its_own_typ_is_always_taken(provider, configure, post, typ, strict):
    configure({"BACKCHANNEL_LOGOUT": {"STRICT_TYP": strict}})
    assert post(provider.token(headers={"typ": typ})).status_code == 200


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_only_the_algorithms_of_the_provider_are_taken(provider, configure, post, kind):
    configure(ALGORITHMS=kind(["ES256"]))
    assert post(provider.token(algorithm="ES256")).status_code == 200
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token(algorithm="RS256"))
    assert caught.value.reason is Reason.ALGORITHM
    for alg in (["ES256"], {"ES256": 1}, [["ES256"]], None, 1):
        response = post(provider.token(headers={"alg": alg}))
        assert response.status_code == 400
        assert response.json()["error_description"] == Reason.ALGORITHM.value


@pytest.mark.parametrize("make", [EXPIRES[name] for name in EXPIRES if name != "absent"])
def test_exp_must_be_right_also_where_it_may_be_missing(provider, configure, make):
    configure(ALLOW_MISSING_EXP=True)
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(make(provider))
    assert caught.value.reason is Reason.EXPIRES
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token(exp=now() - 61))
    assert caught.value.reason is Reason.EXPIRED


@pytest.mark.parametrize(
    ("reason", "issued"),
    [
        (Reason.OUTDATED, lambda: now() - 661),
        (Reason.PREMATURE, lambda: now() + 3600),
        (Reason.ISSUED, lambda: None),
        (Reason.ISSUED, lambda: "1999999999"),
    ],
)
def test_without_exp_iat_must_be_right(provider, configure, reason, issued):
    configure(ALLOW_MISSING_EXP=True)
    verify_logout_token(provider.token(without=["exp"]))
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token(without=["exp"], iat=issued()))
    assert caught.value.reason is reason


def test_exp_may_be_missing_at_the_configured_provider_only(provider, another_provider, settings):
    providers = settings.BFF_SESSIONS["PROVIDERS"]
    providers[another_provider.issuer]["ALLOW_MISSING_EXP"] = True
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    verify_logout_token(another_provider.token(without=["exp"], aud="shop-2"))
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token(without=["exp"]))
    assert caught.value.reason is Reason.EXPIRES


def test_age_and_leeway_can_be_set(provider, configure):
    configure({"BACKCHANNEL_LOGOUT": {"MAX_AGE": 10, "LEEWAY": 0}})
    verify_logout_token(provider.token(iat=now() - 5))
    for reason, claims in [
        (Reason.OUTDATED, {"iat": now() - 12}),
        (Reason.PREMATURE, {"iat": now() + 5}),
        (Reason.EXPIRED, {"exp": now() - 1}),
    ]:
        with pytest.raises(LogoutTokenInvalid) as caught:
            verify_logout_token(provider.token(**claims))
        assert caught.value.reason is reason


def test_a_key_that_is_too_short_is_none(provider, post):
    short = rsa.generate_private_key(65537, 1024)
    provider.keys = [public_jwk(short, "RS256", kid="RS256", alg="RS256")]
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token(key=short))
    assert caught.value.reason is Reason.KEY


def test_a_key_for_encryption_does_not_sign(provider):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", kid="RS256", use="enc", alg="RS256")]
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(provider.token())
    assert caught.value.reason is Reason.KEY


def test_a_shared_secret_among_the_keys_does_not_sign(provider):
    secret = encode(b"s" * 64)
    provider.keys.append({"kty": "oct", "kid": "secret", "k": secret, "alg": "HS256"})
    for token in (
        hmac(provider, b"s" * 64, kid="secret"),
        provider.token(headers={"kid": "secret"}),
    ):
        with pytest.raises(LogoutTokenInvalid):
            verify_logout_token(token)


# Several providers


def test_no_provider_speaks_for_another(provider, another_provider, post):
    another_provider.keys = [public_jwk(FORGED, "RS256", kid="own", alg="RS256")]
    SessionFactory(issuer=provider.issuer)
    for make, reason in [
        (another_provider.token(key=FORGED, headers={"kid": "own"}), Reason.AUDIENCE),
        (another_provider.token(key=FORGED, iss=provider.issuer), Reason.SIGNATURE),
    ]:
        with pytest.raises(LogoutTokenInvalid) as caught:
            verify_logout_token(make)
        assert caught.value.reason is reason
    unknown = another_provider.token(key=FORGED, headers={"kid": "own"}, iss=provider.issuer)
    assert_sent_again(post(unknown))


def test_a_token_that_is_nested_too_deeply_is_refused(provider, monkeypatch):
    def decode(*args, **kwargs):
        raise RecursionError  # PyJWT 2.14, of such a payload.

    monkeypatch.setattr(jwt, "decode_complete", decode)
    with pytest.raises(LogoutTokenInvalid, match=Reason.MALFORMED.value):
        verify_logout_token(provider.token())


# What is refused at one provider only


@pytest.fixture
def differ(provider, another_provider, settings):
    """Gives the other provider options of its own; returns tokens of both."""

    def differ(own, **for_all):
        providers = settings.BFF_SESSIONS["PROVIDERS"]
        providers[another_provider.issuer] |= own
        settings.BFF_SESSIONS = {"PROVIDERS": providers, "BACKCHANNEL_LOGOUT": for_all}
        return provider.token, partial(another_provider.token, aud="shop-2")

    return differ


def refused(token):
    with pytest.raises(LogoutTokenInvalid) as caught:
        verify_logout_token(token)
    return caught.value.reason


@pytest.mark.parametrize("strict", [True, False])
def test_strict_typ_of_a_provider_is_for_its_tokens_only(differ, strict):
    first, second = differ({"STRICT_TYP": strict}, STRICT_TYP=not strict)
    strict_token, sloppy_token = (second, first) if strict else (first, second)
    assert refused(strict_token(headers={"typ": "JWT"})) is Reason.TYPE
    verify_logout_token(strict_token())
    verify_logout_token(sloppy_token(headers={"typ": "JWT"}))


@pytest.mark.parametrize("own", [10, 900])
def test_max_age_of_a_provider_is_for_its_tokens_only(differ, own):
    first, second = differ({"MAX_AGE": own}, MAX_AGE=300, LEEWAY=0)
    strict, sloppy = (second, first) if own < 300 else (first, second)
    issued = now() - (100 if own < 300 else 600)
    assert refused(strict(iat=issued)) is Reason.OUTDATED
    verify_logout_token(sloppy(iat=issued))


@pytest.mark.parametrize("own", [0, 120])
@pytest.mark.parametrize(
    ("reason", "claims"),
    [
        (Reason.EXPIRED, lambda: {"exp": now() - 30}),
        (Reason.PREMATURE, lambda: {"iat": now() + 30}),
    ],
)
def test_leeway_of_a_provider_is_for_its_tokens_only(differ, own, reason, claims):
    first, second = differ({"LEEWAY": own}, LEEWAY=120 - own)
    strict, sloppy = (second, first) if own == 0 else (first, second)
    assert refused(strict(**claims())) is reason
    verify_logout_token(sloppy(**claims()))


def test_token_is_remembered_by_the_times_of_its_provider(differ):
    own = {"ALLOW_MISSING_EXP": True, "MAX_AGE": 7000, "LEEWAY": 500}
    first, second = differ(own, MAX_AGE=1, LEEWAY=2)
    issued = now()
    verified = verify_logout_token(second(without=["exp"], iat=issued))
    assert verified.expires_at.timestamp() == issued + 7500
    verified = verify_logout_token(first(iat=issued, exp=issued + 60))
    assert verified.expires_at.timestamp() == issued + 3


def test_provider_without_options_of_its_own_has_those_for_all(differ):
    _, second = differ({}, STRICT_TYP=True, MAX_AGE=10, LEEWAY=0)
    assert refused(second(headers={"typ": "JWT"})) is Reason.TYPE
    assert refused(second(iat=now() - 12)) is Reason.OUTDATED
    assert refused(second(iat=now() + 5)) is Reason.PREMATURE
