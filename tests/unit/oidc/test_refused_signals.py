"""One test for each way in which a security event, or the request that brings it, can be wrong."""

import json
import logging
import time
from secrets import token_bytes

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bff_sessions.models import Logout, Session
from bff_sessions.oidc.shared_signals.tokens import Reason
from bff_sessions.oidc.verification.event_tokens import Fault
from bff_sessions.oidc.verification.signatures import shown
from tests.support.factories import SessionFactory
from tests.support.provider import KEYS, encode, forget_keys, public_jwk
from tests.support.transmitter import (
    CONTENT_TYPE,
    OAUTH,
    RISC,
    SESSION_REVOKED,
    SSF,
    Transmitter,
    complex_subject,
    email,
    opaque,
)
from tests.support.wrong_tokens import (
    ALGORITHM,
    AUDIENCE,
    FORGED,
    ID,
    ISSUED,
    ISSUER,
    KEY,
    MALFORMED,
    SIGNATURE,
    UNKNOWN_KEY,
    sign,
)

pytestmark = pytest.mark.django_db

# The answers, as the specifications write them: RFC 8935, 2.3.
INVALID = "invalid_request"
CODES = {
    Reason.MALFORMED: INVALID,
    Reason.ISSUER: "invalid_issuer",
    Reason.AUTHORIZATION: "authentication_failed",
    Reason.TYPE: INVALID,
    Reason.ALGORITHM: "invalid_key",
    Reason.KEY: "invalid_key",
    Reason.NO_KEYS: "invalid_key",
    Reason.SIGNATURE: "authentication_failed",
    Reason.AUDIENCE: "invalid_audience",
    Reason.ID: INVALID,
    Reason.SUB: INVALID,
    Reason.EXPIRES: INVALID,
    Reason.ISSUED: INVALID,
    Reason.PREMATURE: INVALID,
    Reason.OUTDATED: INVALID,
    Reason.EVENTS: INVALID,
    Reason.SUBJECT: INVALID,
    Reason.STATE: "invalid_state",
}


def now():
    return int(time.time())


WEEK = 7 * 24 * 60 * 60
TYPE = {
    "absent": lambda t: t.token(headers={"typ": ...}),
    "JWT": lambda t: t.token(headers={"typ": "JWT"}),
    "of an ID token": lambda t: t.token(headers={"typ": "id_token+jwt"}),
    "of an access token": lambda t: t.token(headers={"typ": "at+jwt"}),
    "of a logout token": lambda t: t.token(headers={"typ": "logout+jwt"}),
    "of another media type": lambda t: t.token(headers={"typ": "text/secevent+jwt"}),
    "empty": lambda t: t.token(headers={"typ": ""}),
    "null": lambda t: t.token(headers={"typ": None}),
    "a list": lambda t: t.token(headers={"typ": ["secevent+jwt"]}),
}
SUB = {
    "a text": lambda t: t.token(sub="alice"),
    "empty": lambda t: t.token(sub=""),
    "null": lambda t: t.token(sub=None),
}
EXPIRES = {
    "in the future": lambda t: t.token(exp=now() + 60),
    "in the past": lambda t: t.token(exp=now() - 3600),
    "null": lambda t: t.token(exp=None),
    "a text": lambda t: t.token(exp="soon"),
}
PREMATURE = {
    "in an hour": lambda t: t.token(iat=now() + 3600),
    "after the leeway": lambda t: t.token(iat=now() + 65),
}
OUTDATED = {
    "a month ago": lambda t: t.token(iat=now() - 30 * 24 * 3600),
    "before age and leeway": lambda t: t.token(iat=now() - WEEK - 61),
    "in 1970": lambda t: t.token(iat=0),
}
EVENTS = {
    "absent": lambda t: t.token(without=["events"]),
    "null": lambda t: t.token(events=None),
    "empty": lambda t: t.token(events={}),
    "a text": lambda t: t.token(events=SESSION_REVOKED),
    "a list": lambda t: t.token(events=[SESSION_REVOKED]),
    "member is null": lambda t: t.token(events={SESSION_REVOKED: None}),
    "member is true": lambda t: t.token(events={SESSION_REVOKED: True}),
    "member is a text": lambda t: t.token(events={SESSION_REVOKED: "{}"}),
    "member is a list": lambda t: t.token(events={SESSION_REVOKED: []}),
    "one of two is null": lambda t: t.token(events={SESSION_REVOKED: {}, f"{RISC}a": None}),
}
NO_TEXTS = {
    "absent": ...,
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
ISS_SUB = {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice"}
FORMATS = {"iss_sub": ("iss", "sub"), "opaque": ("id",), "email": ("email",)}


def subject(kind, member, value):
    whole = ISS_SUB | {"format": kind, "id": "1", "email": "alice@shop.example"} | {member: value}
    return {name: each for name, each in whole.items() if each is not ...}


SUBJECTS = {
    "absent": ...,
    "null": None,
    "a text": "alice",
    "a list": [ISS_SUB],
    "empty": {},
    "no format": {"iss": "https://idp.example", "sub": "alice"},
    "format is null": ISS_SUB | {"format": None},
    "format is a list": ISS_SUB | {"format": ["iss_sub"]},
    "an old type that is no text": {"subject_type": 1, "iss": "a", "sub": "b"},
    **{
        f"{member} of {kind} is {name}": subject(kind, member, value)
        for kind, members in FORMATS.items()
        for member in members
        for name, value in NO_TEXTS.items()
    },
    "complex without members": complex_subject(),
    "complex with too many members": complex_subject(**{f"m{n}": opaque("1") for n in range(21)}),
    "user is a text": complex_subject(user="alice"),
    "user is null": complex_subject(user=None),
    "user has no format": complex_subject(user={"id": "alice"}),
    "user is complex": complex_subject(user=complex_subject(user=opaque("alice"))),
    "user has no sub": complex_subject(user={"format": "iss_sub", "iss": "https://idp.example"}),
    "session is a list": complex_subject(session=[opaque("laptop")]),
    "session has no ID": complex_subject(session={"format": "opaque"}),
    "session is wrong beside a good user": complex_subject(user=ISS_SUB, session=opaque(1)),
    "aliases without identifiers": {"format": "aliases"},
    "aliases are an object": {"format": "aliases", "identifiers": {"a": opaque("alice")}},
    "aliases are empty": {"format": "aliases", "identifiers": []},
    "aliases are too many": {"format": "aliases", "identifiers": [opaque("alice")] * 21},
    "aliases of aliases": {
        "format": "aliases",
        "identifiers": [{"format": "aliases", "identifiers": [opaque("alice")]}],
    },
    "one alias is wrong": {"format": "aliases", "identifiers": [email("a@b.example"), {}]},
}
SUBJECT = {
    name: (
        (lambda t: t.token(without=["sub_id"]))
        if value is ...
        else (lambda t, v=value: t.token(sub_id=v))
    )
    for name, value in SUBJECTS.items()
}
SUBJECT["of a draft is a text"] = lambda t: t.token(
    SESSION_REVOKED, {"subject": "alice"}, without=["sub_id"]
)

REFUSED = {
    Reason.MALFORMED: MALFORMED,
    Reason.ALGORITHM: ALGORITHM,
    Reason.TYPE: TYPE,
    Reason.ISSUER: ISSUER,
    Reason.KEY: KEY,
    Reason.SIGNATURE: SIGNATURE,
    Reason.AUDIENCE: AUDIENCE,
    Reason.ID: ID,
    Reason.SUB: SUB,
    Reason.EXPIRES: EXPIRES,
    Reason.ISSUED: ISSUED,
    Reason.PREMATURE: PREMATURE,
    Reason.OUTDATED: OUTDATED,
    Reason.EVENTS: EVENTS,
    Reason.SUBJECT: SUBJECT,
}
# What is decided before the transmitter is asked for its keys.
BEFORE_ANY_FETCH = (Reason.MALFORMED, Reason.ALGORITHM, Reason.TYPE, Reason.ISSUER)


@pytest.fixture
def transmitter(provider, configure):
    configure(SIGNALS={})
    return Transmitter(provider)


@pytest.fixture
def sessions(provider):
    for session_id in ("laptop", "phone"):
        SessionFactory(issuer=provider.issuer, subject_id="alice", session_id=session_id)


@pytest.fixture
def post(provider):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)

    def post(token, content_type=CONTENT_TYPE, **more):
        # The test client does not send the type of an empty body.
        more = {"CONTENT_TYPE": content_type, **more}
        return client.post(reverse("bff_sessions:signals"), token, content_type, **more)

    return post


def assert_refused(response, code, description):
    assert response.status_code == 400
    assert response.json() == {"err": code, "description": description}
    assert response["Content-Type"] == "application/json"
    assert response["Content-Language"] == "en"
    assert response["Cache-Control"] == "no-store"
    assert Session.objects.count() == 2
    assert not Logout.objects.exists()


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        pytest.param(reason, make, id=f"{reason.name}: {name}")
        for reason, tokens in REFUSED.items()
        for name, make in tokens.items()
    ],
)
def test_token_is_refused_for_its_reason(
    provider, transmitter, sessions, post, caplog, reason, make
):
    caplog.set_level(logging.DEBUG)
    token = make(transmitter)
    # The text of a test client is UTF-8.
    response = post(token.encode("utf-8", "replace"))
    if token.isascii():
        assert_refused(response, CODES[reason], reason.description)
    else:
        assert_refused(response, INVALID, "The body of the request must be ASCII.")
    if reason in BEFORE_ANY_FETCH:
        assert provider.requests == []
    (record,) = [r for r in caplog.records if r.name == "bff_sessions.signals"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("A security event was refused. The ")
    said = "".join(r.getMessage() for r in caplog.records if "factory" not in r.name)
    for part in [*token.split("."), "alice", "laptop"]:
        assert len(part) < 4 or part not in said


def test_every_reason_is_tried():
    elsewhere = {Reason.AUTHORIZATION, Reason.NO_KEYS, Reason.STATE}
    assert {*Reason} - {*REFUSED} == elsewhere
    assert CODES.keys() == {*Reason}
    assert sum(map(len, REFUSED.values())) > 120


def test_every_fault_of_a_security_event_has_a_reason():
    # A token with an exp is refused before the exp is compared.
    assert {fault.name for fault in Fault} - {"EXPIRED"} <= {reason.name for reason in Reason}


# With a key that the transmitter may publish soon


def assert_sent_again(response):
    assert (response.status_code, response.content) == (503, b"")
    assert response["Retry-After"] == "30"
    assert response["Cache-Control"] == "no-store"
    assert Session.objects.count() == 2
    assert not Logout.objects.exists()


@pytest.mark.parametrize("make", UNKNOWN_KEY.values(), ids=UNKNOWN_KEY)
def test_token_with_an_unknown_key_is_asked_for_again(
    provider, transmitter, sessions, post, caplog, make
):
    for _ in range(3):
        assert_sent_again(post(make(transmitter)))
    assert provider.requests.count("/keys") == 2
    records = [r for r in caplog.records if r.name == "bff_sessions.signals"]
    assert {record.levelno for record in records} == {logging.WARNING}
    assert "do not include" in records[0].getMessage()


def test_new_key_that_is_published_late_ends_the_session(
    provider, transmitter, sessions, post, clock
):
    token = transmitter.token(key=FORGED, headers={"kid": "new"})
    assert_sent_again(post(token))
    provider.keys.append(public_jwk(FORGED, "RS256", kid="new", alg="RS256"))
    clock.advance(30)
    assert post(token).status_code == 202
    assert not Session.objects.exists()


@pytest.mark.parametrize("members", [{}, {"kid": "same"}], ids=["without kid", "same kid"])
def test_replaced_key_is_found(provider, transmitter, sessions, post, clock, members):
    headers = {"kid": members.get("kid", ...)}
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", alg="RS256", **members)]
    assert post(transmitter.token(f"{SSF}verification", headers=headers)).status_code == 202
    provider.keys = [public_jwk(FORGED, "RS256", alg="RS256", **members)]
    wrong = transmitter.token(headers=headers, key=KEYS["PS256"])
    assert_refused(post(wrong), "authentication_failed", Reason.SIGNATURE.description)
    assert_sent_again(post(wrong))
    assert post(transmitter.token(headers=headers, key=FORGED)).status_code == 202
    assert not Session.objects.exists()
    assert provider.requests.count("/keys") == 2


# The request


@pytest.mark.parametrize(
    "kind",
    [
        "application/jwt",
        "application/json",
        "application/x-www-form-urlencoded",
        "application/logout+jwt",
        "text/plain",
        "secevent+jwt",
        "",
    ],
)
def test_only_security_events_are_read(transmitter, sessions, post, kind):
    text = "The Content-Type of the request must be application/secevent+jwt."
    assert_refused(post(transmitter.token(), kind), INVALID, text)


@pytest.mark.parametrize(
    "kind", ["application/secevent+jwt; charset=UTF-8", "Application/SecEvent+JWT"]
)
def test_content_type_may_have_capitals_and_parameters(transmitter, post, kind):
    assert post(transmitter.token(), kind).status_code == 202


@pytest.mark.parametrize("header", [{}, {"CONTENT_LENGTH": "70000"}])
def test_request_that_is_too_long_is_refused(transmitter, sessions, post, header):
    token = transmitter.token(more="a" * 70_000)
    assert_refused(post(token, **header), INVALID, "The request is too long.")


def test_chunked_request_that_arrives_empty_is_named(transmitter, sessions, post):
    response = post("", HTTP_TRANSFER_ENCODING="chunked")
    assert_refused(response, "invalid_request", "The request must have a Content-Length.")


@pytest.mark.parametrize("body", [b"\xff", "ü", b"\x80.e30.e30"])
def test_body_that_is_not_ascii_is_refused(transmitter, sessions, post, body):
    assert_refused(post(body), INVALID, "The body of the request must be ASCII.")


@pytest.mark.parametrize("body", ["", " ", "\r\n", "{}", "[]", "null", "logout_token=a.b.c", "\0"])
def test_body_that_is_not_a_token_is_refused(transmitter, sessions, post, body):
    text = "The security event token must be a signed JSON Web Token."
    assert_refused(post(body), INVALID, text)


def test_token_in_a_form_is_refused(transmitter, sessions, post):
    body = f"security_event_token={transmitter.token()}"
    assert_refused(post(body), INVALID, Reason.MALFORMED.description)


def test_two_tokens_are_refused(transmitter, sessions, post):
    body = f"{transmitter.token()}\n{transmitter.token()}"
    assert_refused(post(body), INVALID, Reason.MALFORMED.description)


def test_final_line_break_is_no_part_of_the_token(transmitter, post):
    assert post(transmitter.token() + "\r\n").status_code == 202


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_verbs_are_not_allowed(transmitter, sessions, verb, client):
    response = client.generic(verb, reverse("bff_sessions:signals"), transmitter.token())
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert Session.objects.count() == 2


@pytest.mark.parametrize("signals", [None, ...])
def test_without_signals_there_is_no_endpoint(provider, configure, sessions, post, signals):
    configure(**({} if signals is ... else {"SIGNALS": signals}))
    assert post(Transmitter(provider).token()).status_code == 404
    assert Session.objects.count() == 2


def test_provider_without_signals_is_not_a_transmitter(
    provider, another_provider, settings, sessions, post
):
    providers = settings.BFF_SESSIONS["PROVIDERS"]
    providers[another_provider.issuer] |= {"SIGNALS": {}}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    response = post(Transmitter(provider).token())
    assert_refused(response, "invalid_issuer", Reason.ISSUER.description)


# The Authorization header


SECRET = "Bearer a secret of the stream"


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        SECRET.lower(),
        SECRET + " ",
        SECRET + ", " + SECRET,
        SECRET.removeprefix("Bearer "),
        SECRET.replace("Bearer", "Basic"),
        "Bearer ü",
        "Bearer \ud800",
    ],
    ids=ascii,
)
def test_wrong_authorization_is_refused(provider, configure, sessions, post, caplog, given):
    caplog.set_level(logging.DEBUG)
    configure(SIGNALS={"AUTHORIZATION": SECRET})
    more = {} if given is None else {"HTTP_AUTHORIZATION": given}
    response = post(Transmitter(provider).token(), **more)
    assert_refused(response, "authentication_failed", Reason.AUTHORIZATION.description)
    assert provider.requests == []
    assert "secret" not in caplog.text


@pytest.mark.parametrize("expected", [SECRET, ["Bearer new", SECRET], ("Bearer new", SECRET)])
def test_right_authorization_is_accepted(provider, configure, post, expected):
    configure(SIGNALS={"AUTHORIZATION": expected})
    assert post(Transmitter(provider).token(), HTTP_AUTHORIZATION=SECRET).status_code == 202


def test_authorization_does_not_replace_the_signature(provider, configure, sessions, post):
    configure(SIGNALS={"AUTHORIZATION": SECRET})
    token = Transmitter(provider).token(key=FORGED)
    response = post(token, HTTP_AUTHORIZATION=SECRET)
    assert_refused(response, "authentication_failed", Reason.SIGNATURE.description)


def test_authorization_of_another_transmitter_is_refused(
    provider, another_provider, settings, sessions, post
):
    providers = settings.BFF_SESSIONS["PROVIDERS"]
    providers[provider.issuer] |= {"SIGNALS": {"AUTHORIZATION": SECRET}}
    providers[another_provider.issuer] |= {"SIGNALS": {"AUTHORIZATION": "Bearer another"}}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    response = post(Transmitter(provider).token(), HTTP_AUTHORIZATION="Bearer another")
    assert_refused(response, "authentication_failed", Reason.AUTHORIZATION.description)


# Verification events


@pytest.mark.parametrize("state", ["another", "", 1, True, ["given"], {"given": 1}, "\ud800", "ü"])
@pytest.mark.parametrize("event", [f"{SSF}verification", f"{RISC}verification"])
def test_other_state_is_refused(provider, configure, sessions, post, event, state):
    configure(SIGNALS={"STATE": "given"})
    token = Transmitter(provider).token(event, {"state": state})
    assert_refused(post(token), "invalid_state", Reason.STATE.description)


# Because of an option


def test_transmitter_without_keys_is_refused(provider, configure, sessions, post):
    configure(SIGNALS={}, JWKS_URI=None)
    response = post(Transmitter(provider).token())
    assert_refused(response, "invalid_key", Reason.NO_KEYS.description)


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "application/jwt", "secevent+jwt"])
def test_other_typ_can_be_accepted(provider, configure, post, typ):
    configure(SIGNALS={"STRICT_TYP": False})
    assert post(Transmitter(provider).token(headers={"typ": typ})).status_code == 202


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "", None])
def test_typ_of_another_token_is_never_accepted(provider, configure, sessions, post, typ):
    configure(SIGNALS={"STRICT_TYP": False})
    response = post(Transmitter(provider).token(headers={"typ": typ}))
    assert_refused(response, INVALID, Reason.TYPE.description)


@pytest.mark.parametrize("typ", ["secevent+jwt", "SecEvent+JWT", "application/secevent+jwt"])
def test_typ_is_compared_as_a_media_type(transmitter, post, typ):
    assert post(transmitter.token(headers={"typ": typ})).status_code == 202


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_only_algorithms_of_the_transmitter_are_accepted(provider, configure, sessions, post, kind):
    configure(SIGNALS={"ALGORITHMS": kind(["ES256"])}, ALGORITHMS=["RS256"])
    transmitter = Transmitter(provider)
    for alg in ("RS256", ["ES256"], {"ES256": 1}, [["ES256"]], None, 1):
        response = post(transmitter.token(headers={"alg": alg}))
        assert_refused(response, "invalid_key", Reason.ALGORITHM.description)
    assert post(transmitter.token(algorithm="ES256")).status_code == 202


def test_algorithms_are_those_of_the_provider(provider, configure, sessions, post):
    configure(SIGNALS={}, ALGORITHMS=["RS256"])
    response = post(Transmitter(provider).token(algorithm="ES256"))
    assert_refused(response, "invalid_key", Reason.ALGORITHM.description)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iat": -12}, Reason.OUTDATED),
        ({"iat": 5}, Reason.PREMATURE),
    ],
)
def test_age_and_leeway_can_be_set(provider, configure, sessions, post, changes, reason):
    configure(SIGNALS={"MAX_AGE": 10, "LEEWAY": 0})
    token = Transmitter(provider).token(iat=now() + changes["iat"])
    assert_refused(post(token), INVALID, reason.description)


def test_configured_audience_replaces_the_client(provider, configure, sessions, post):
    configure(SIGNALS={"AUDIENCE": "https://shop.example/signals"})
    response = post(Transmitter(provider).token())
    assert_refused(response, "invalid_audience", Reason.AUDIENCE.description)


# Several transmitters


def test_no_transmitter_signs_for_another(provider, another_provider, settings, sessions, post):
    another_provider.keys = [public_jwk(FORGED, "RS256", kid="own", alg="RS256")]
    providers = settings.BFF_SESSIONS["PROVIDERS"]
    for each in providers.values():
        each["SIGNALS"] = {}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    other = Transmitter(another_provider)
    own = {"key": FORGED, "headers": {"kid": "own"}}
    for token, code in [
        (other.token(**own), "invalid_audience"),
        (other.token(key=FORGED, iss=provider.issuer), "authentication_failed"),
    ]:
        # With its keys: an unknown one is not looked for again at once.
        forget_keys()
        response = post(token)
        assert (response.status_code, response.json()["err"]) == (400, code)
    assert_sent_again(post(other.token(**own, iss=provider.issuer)))


# Whatever it is


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=10,
)
KNOWN = st.sampled_from(
    [SESSION_REVOKED, f"{RISC}account-disabled", f"{SSF}verification", f"{OAUTH}tokens-revoked"]
)
MEMBER = st.sampled_from(
    ["format", "iss", "sub", "id", "email", "user", "session", "identifiers", "subject_type"]
)
VALUE = JSON | st.sampled_from(["iss_sub", "opaque", "email", "complex", "aliases", "iss-sub"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    subject=JSON | st.dictionaries(MEMBER, VALUE | st.dictionaries(MEMBER, VALUE, max_size=3)),
    events=JSON | st.dictionaries(KNOWN, JSON | st.dictionaries(MEMBER, VALUE), max_size=2),
    more=st.dictionaries(st.sampled_from(["aud", "jti", "iat", "exp", "txn", "toe"]), JSON),
)
def test_signed_garbage_is_no_fault_of_this_site(transmitter, post, subject, events, more):
    token = transmitter.token(sub_id=subject, events=events, **more)
    assert post(token).status_code in (202, 400)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.binary(max_size=200) | st.text(alphabet="abc.=-_\n", max_size=50).map(str.encode))
def test_garbage_is_no_fault_of_this_site(transmitter, post, body):
    assert post(body).status_code == 400


def test_random_bytes_are_refused(transmitter, post):
    for _ in range(50):
        assert post(token_bytes(100)).status_code == 400


# What json can just read depends on the version of Python.
@pytest.mark.parametrize("depth", [100, 900, 9_000, 20_000])
@pytest.mark.parametrize("claim", ["iss", "aud", "jti", "sub_id", "more"])
def test_deep_claims_are_no_fault_of_this_site(transmitter, post, claim, depth):
    claims = json.dumps(transmitter.claims(**{claim: "deep"}))
    claims = claims.replace('"deep"', "[" * depth + "]" * depth)
    header = {"alg": "RS256", "kid": "RS256", "typ": transmitter.typ}
    response = post(sign(f"{encode(header)}.{encode(claims.encode())}"))
    assert response.status_code == 400 or (claim, response.status_code) == ("more", 202)


def test_claim_that_is_nested_too_deeply_is_not_shown():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "list"
