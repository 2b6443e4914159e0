"""The endpoint, from the provider's side."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from unittest import mock
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as project
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.models import Q
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bff_sessions.contract import MOVED, Actor, EndReason
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import RevocationUnconfirmed, StoreUnavailable
from bff_sessions.identity.session_ids import make_moved_session_id, make_session_id
from bff_sessions.models import Logout, Session
from bff_sessions.oidc.logout import handling
from bff_sessions.oidc.logout.handling import end_sessions
from bff_sessions.oidc.logout.tokens import verify_logout_token
from bff_sessions.oidc.logout.views import backchannel_logout
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.databases import retrying
from bff_sessions.stores.orm.deletes import OrmDeletes
from tests.support.factories import SessionFactory, ago
from tests.support.faults import LOST, ROLLED_BACK, Fault
from tests.support.logs import errors
from tests.support.provider import KEYS, public_jwk

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def url(provider):
    return reverse("bff_sessions:backchannel-logout")


@pytest.fixture
def post(url):
    """Post a token as a provider does."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)

    def post(token, client=client, **kwargs):
        return client.post(url, urlencode({"logout_token": token}), FORM, **kwargs)

    return post


@pytest.fixture
def sessions(provider):
    """Alice's on two devices, bob's, and some that only look like alice's."""
    for subject, device in [("alice", "laptop"), ("alice", "phone"), ("bob", "tablet")]:
        SessionFactory(issuer=provider.issuer, subject_id=subject, session_id=device)
    SessionFactory(issuer="https://idp.example", subject_id="alice", session_id="laptop")
    SessionFactory(issuer=None, subject_id="alice", session_id="laptop")


def left(provider):
    rows = Session.objects.filter(issuer=provider.issuer).order_by("session_id")
    others = Session.objects.filter(Q(issuer=None) | Q(issuer="https://idp.example"))
    assert others.count() == 2
    return [row.session_id for row in rows]


def lines(caplog):
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "bff_sessions.logout"
    ]


# Good tokens


def test_sub_and_sid_end_that_one_session(provider, post, sessions):
    response = post(provider.token())
    assert (response.status_code, response.content) == (200, b"")
    assert response["Cache-Control"] == "no-store"
    assert left(provider) == ["phone", "tablet"]


def test_sid_alone_ends_that_one_session(provider, post, sessions):
    assert post(provider.token(without=["sub"])).status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_sub_alone_ends_all_of_the_subject(provider, post, sessions):
    assert post(provider.token(without=["sid"])).status_code == 200
    assert left(provider) == ["tablet"]


def test_sub_and_sid_of_different_people_end_nothing(provider, post, sessions):
    assert post(provider.token(sub="bob")).status_code == 200
    assert left(provider) == ["laptop", "phone", "tablet"]


@pytest.mark.parametrize("without", [[], ["sub"], ["sid"]], ids=["both", "sid", "sub"])
def test_a_setting_ends_all_of_the_subject_whatever_is_named(
    provider, configure, post, sessions, without
):
    configure({"BACKCHANNEL_LOGOUT": {"ALL_SESSIONS": True}})
    assert post(provider.token(without=without)).status_code == 200
    assert left(provider) == ["tablet"]


def test_subject_of_a_session_is_found_without_reading_tickets(provider, configure, post, sessions):
    configure({"BACKCHANNEL_LOGOUT": {"ALL_SESSIONS": True}})
    with CaptureQueriesContext(connection) as captured:
        assert post(provider.token(without=["sub"])).status_code == 200
    [look, *_] = [query["sql"] for query in captured if "subject_id" in query["sql"]]
    assert look.startswith("SELECT")
    assert "ticket" not in look


def test_with_that_setting_a_session_of_nobody_is_nothing_to_do(
    provider, configure, post, sessions
):
    configure({"BACKCHANNEL_LOGOUT": {"ALL_SESSIONS": True}})
    assert post(provider.token(sid="unknown", without=["sub"])).status_code == 200
    assert left(provider) == ["laptop", "phone", "tablet"]


def test_sub_and_sid_end_sessions_of_the_subject_without_a_sid(provider, post, sessions):
    for session_id in (make_session_id(), make_moved_session_id()):
        SessionFactory(issuer=provider.issuer, subject_id="alice", session_id=session_id)
    bobs = SessionFactory(
        issuer=provider.issuer, subject_id="bob", session_id=make_session_id()
    ).session_id
    assert post(provider.token()).status_code == 200
    assert left(provider) == [bobs, "phone", "tablet"]
    # This session of alice's is unknown here.
    laptop = SessionFactory(issuer=provider.issuer, session_id=make_session_id())
    assert post(provider.token(without=["sub"])).status_code == 200
    assert Session.objects.filter(pk=laptop.pk).exists()
    assert post(provider.token(sid="unknown")).status_code == 200
    assert left(provider) == [bobs, "phone", "tablet"]


def test_moving_session_without_a_sid_ends(provider, post, sessions):
    session = SessionFactory(
        issuer=provider.issuer,
        session_id=make_session_id(),
        ticket=MOVED + b"ticket",
        expires=ago(seconds=-60),
    )
    assert post(provider.token()).status_code == 200
    assert not Session.objects.filter(pk=session.pk).exists()


@pytest.fixture
def all_sessions(configure):
    configure({"BACKCHANNEL_LOGOUT": {"ALL_SESSIONS": True}})


def interrupt(monkeypatch, number):
    """Let the store fail in a call of delete_user_sessions(), after it has deleted one session."""
    store, calls = get_store(), []
    real = store.delete_user_sessions

    def delete(filter, **kwargs):
        calls.append(filter)
        if len(calls) < number:
            return real(filter, **kwargs)
        # The session that the token names, if it matches.
        found = sorted(store.get_user_sessions(filter), key=lambda each: each.session_id)
        for session in found[:1]:
            store.delete_user_session(session.key)
        raise StoreUnavailable

    monkeypatch.setattr(store, "delete_user_sessions", delete)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_repetition_of_an_interrupted_logout_ends_all_of_the_subject(
    provider, all_sessions, post, sessions, monkeypatch, number
):
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="watch")
    token = provider.token(without=["sub"])
    with monkeypatch.context() as patched:
        interrupt(patched, number)
        assert post(token).status_code == 503
    assert post(token).status_code == 200
    assert left(provider) == ["tablet"]


def test_repetition_finds_what_an_interrupted_batch_has_left(
    provider, all_sessions, post, monkeypatch
):
    for number in range(6):
        SessionFactory(issuer=provider.issuer, subject_id="alice", session_id=f"s{number}")
    calls, real = [], OrmDeletes._delete_batch

    def delete(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise DatabaseError
        return real(self, *args)

    monkeypatch.setattr("bff_sessions.stores.orm.deletes._BATCH", 3)
    # The store reads its rows in this order.
    first = Session.objects.values_list("session_id", flat=True)[0]
    token = provider.token(sid=first, without=["sub"])
    with monkeypatch.context() as patched:
        patched.setattr(OrmDeletes, "_delete_batch", delete)
        assert post(token).status_code == 500
    assert 0 < Session.objects.count() < 6
    assert post(token).status_code == 200
    assert not Session.objects.exists()


def test_repetition_keeps_the_subject_that_is_recorded(provider):
    logouts, now = Logout.objects.current(), datetime.now(UTC)
    token = {"issuer": provider.issuer, "jti": "1", "issued": now, "expires": now}
    assert logouts.begin(Logout.of(session_id="laptop", subject_id="alice", **token))
    recorded = Logout.objects.get()
    assert logouts.begin(Logout.of(session_id="laptop", **token))
    repeated = Logout.objects.get()
    assert (repeated.session, repeated.subject) == (recorded.session, recorded.subject)
    assert None not in (repeated.session, repeated.subject)
    assert repeated.received > recorded.received


def test_subject_of_a_session_that_is_moving_is_found(provider, all_sessions, post, sessions):
    laptop = Session.objects.filter(issuer=provider.issuer, session_id="laptop")
    laptop.update(ticket=MOVED + bytes(laptop.get().ticket), expires=ago(seconds=-60))
    assert post(provider.token(without=["sub"])).status_code == 200
    assert left(provider) == ["tablet"]


def test_all_subjects_of_a_session_are_found(provider, all_sessions, post, sessions):
    # OpenID Connect Core 1.0, 8.1: a pairwise subject for each client.
    for device in ("laptop", "desk"):
        SessionFactory(issuer=provider.issuer, subject_id="a1", session_id=device, partition="till")
    assert post(provider.token(without=["sub"])).status_code == 200
    assert left(provider) == ["tablet"]


def test_subject_of_a_session_that_has_ended_before_is_unknown(
    provider, all_sessions, post, sessions
):
    Session.objects.filter(issuer=provider.issuer, session_id="laptop").delete()
    assert post(provider.token(without=["sub"])).status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_nothing_to_do_is_done(provider, post):
    assert post(provider.token()).status_code == 200


def test_sessions_of_all_partitions_end(provider, post):
    for partition in ("default", "shop"):
        SessionFactory(issuer=provider.issuer, session_id="laptop", partition=partition)
    assert post(provider.token()).status_code == 200
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_signal_has_the_provider_as_actor(provider, post, sessions):
    told = []

    def receiver(sessions, reason, actor, **kwargs):
        told.extend((session.session_id, reason, actor) for session in sessions)

    sessions_ended.connect(receiver)
    try:
        post(provider.token())
    finally:
        sessions_ended.disconnect(receiver)
    actor = Actor.of_provider(provider.issuer)
    assert told == [("laptop", EndReason.PROVIDER, actor)]


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_kind_of_key_signs(provider, post, sessions, algorithm):
    assert post(provider.token(algorithm=algorithm)).status_code == 200
    assert left(provider) == ["phone", "tablet"]


GOOD = {
    "no typ": lambda p: p.token(headers={"typ": ...}),
    "typ of any token": lambda p: p.token(headers={"typ": "JWT"}),
    "typ as a media type": lambda p: p.token(headers={"typ": "application/logout+jwt"}),
    "aud is a list": lambda p: p.token(aud=["shop"]),
    "aud has others, too": lambda p: p.token(aud=["another", "shop"]),
    "more events": lambda p: p.token(events=p.claims()["events"] | {"https://e.example": {}}),
    "an event that says something": lambda p: p.token(
        events={next(iter(p.claims()["events"])): {"a": 1}}
    ),
    "unknown claims": lambda p: p.token(extra={"a": [1]}),
    "moments with fractions": lambda p: p.token(iat=time.time(), exp=time.time() + 9.5),
    "exp within the leeway": lambda p: p.token(exp=int(time.time()) - 30),
    "iat within the leeway": lambda p: p.token(iat=int(time.time()) + 30),
    "iat within the age": lambda p: p.token(iat=int(time.time()) - 500),
    "a subject of 255 characters": lambda p: p.token(sub="ü" * 255, without=["sid"]),
    "a long jti": lambda p: p.token(jti="ü" * 1000),
    "no kid, and one key": lambda p: with_one_key(p).token(headers={"kid": ...}),
}


def with_one_key(provider):
    provider.keys = [key for key in provider.keys if key["kid"] == "RS256"]
    return provider


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_it_is_taken(provider, post, make):
    token = make(provider)
    assert (post(token).status_code, post(token).status_code) == (200, 400)


def test_a_new_key_of_the_provider_is_taken_at_once(provider, post, caplog):
    assert post(provider.token()).status_code == 200
    provider.keys = [public_jwk(KEYS["ES256"], "ES256", kid="new", alg="ES256")]
    assert post(provider.token(algorithm="ES256", headers={"kid": "new"})).status_code == 200
    # It is too early to look whether that one is new.
    response = post(provider.token())
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    # Which any stranger can bring about: nobody is to be called for it.
    (record,) = [r for r in caplog.records if r.name == "bff_sessions.logout"]
    assert record.levelno == logging.WARNING


def test_providers_side_by_side_end_their_own(provider, another_provider, post, sessions):
    SessionFactory(issuer=another_provider.issuer, subject_id="alice", session_id="laptop")
    assert post(another_provider.token(aud="shop-2")).status_code == 200
    assert left(provider) == ["laptop", "phone", "tablet"]
    assert not Session.objects.filter(issuer=another_provider.issuer).exists()
    assert post(provider.token()).status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_two_providers_may_use_the_same_jti(provider, another_provider, post):
    assert post(provider.token(jti="1")).status_code == 200
    assert post(another_provider.token(jti="1", aud="shop-2")).status_code == 200


# Once only


def test_a_replay_is_refused_and_ends_nothing(provider, post):
    token = provider.token(without=["sid"])
    assert post(token).status_code == 200
    SessionFactory(issuer=provider.issuer, session_id="later")
    response = post(token)
    assert response.status_code == 400
    assert response["Cache-Control"] == "no-store"
    assert response.json() == {
        "error": "invalid_request",
        "error_description": "The logout token has been used already.",
    }
    assert Session.objects.count() == 1


def test_another_token_with_a_used_jti_is_a_replay(provider, post, sessions):
    assert post(provider.token(jti="once", sid="unknown")).status_code == 200
    assert post(provider.token(jti="once")).status_code == 400
    assert left(provider) == ["laptop", "phone", "tablet"]


def test_after_a_failure_of_ours_the_same_token_works(provider, post, sessions, monkeypatch):
    def fail(filter):
        raise DatabaseError("a fault of the database")

    token = provider.token()
    with monkeypatch.context() as patch:
        patch.setattr(handling, "revoke_sessions", fail)
        assert [post(token).status_code for _ in range(2)] == [500, 500]
    assert left(provider) == ["laptop", "phone", "tablet"]
    assert post(token).status_code == 200
    assert left(provider) == ["phone", "tablet"]
    assert post(token).status_code == 400


def test_after_a_failure_to_remember_the_same_token_works(provider, post, sessions, monkeypatch):
    def fail(self, **kwargs):
        raise DatabaseError("a fault of the database")

    token = provider.token()
    with monkeypatch.context() as patch:
        patch.setattr("bff_sessions.oidc.models.LogoutQuerySet.finish", fail)
        assert post(token).status_code == 500
    assert left(provider) == ["phone", "tablet"]
    assert post(token).status_code == 200


def test_of_two_deliveries_at_the_same_time_one_is_a_replay(provider, post, monkeypatch):
    token = provider.token()
    answers = []

    def meanwhile(filter, **kwargs):
        monkeypatch.undo()
        answers.append(post(token).status_code)
        return 0

    monkeypatch.setattr(handling, "revoke_sessions", meanwhile)
    answers.append(post(token).status_code)
    assert answers == [200, 400]


def test_what_is_remembered_says_nothing_of_anybody(provider, post):
    post(provider.token(jti="a jti", without=["sid"]))
    post(provider.token(jti="another jti"))
    said = str(list(Logout.objects.values()))
    for word in ("alice", "laptop", "a jti", provider.issuer):
        assert word not in said
    assert str(Logout.objects.first()).startswith("20")


@pytest.mark.parametrize(
    ("exp", "seconds"), [(300, 360), (600, 660), (601, 660), (3600, 660), (99_999_999_999, 660)]
)
def test_it_is_remembered_until_the_token_is_refused_for_sure(
    provider, post, monkeypatch, exp, seconds
):
    issued = int(time.time()) - 5
    token = provider.token(iat=issued, exp=min(issued + exp, 99_999_999_999))
    assert post(token).status_code == 200
    assert Logout.objects.get().expires == datetime.fromtimestamp(issued + seconds, UTC)
    clock = "bff_sessions.oidc.logout.tokens.time.time"
    monkeypatch.setattr(clock, lambda: issued + seconds - 1)
    assert description(post(token)) == "The logout token has been used already."
    Logout.objects.all().delete()
    monkeypatch.setattr(clock, lambda: issued + seconds)
    assert description(post(token)) in (
        "The logout token has expired.",
        "The logout token was issued too long ago.",
    )


def test_it_is_remembered_for_as_long_as_somebody_may_be_signing_in(provider, post):
    before = datetime.now(UTC)
    post(provider.token(exp=int(time.time()) + 1))
    assert Logout.objects.get().expires >= before + timedelta(minutes=2)


# Providers whose tokens have no exp


def test_without_exp_its_age_counts(provider, configure, post, sessions):
    configure(ALLOW_MISSING_EXP=True)
    assert post(provider.token(without=["exp"], iat=int(time.time()) - 500)).status_code == 200
    assert left(provider) == ["phone", "tablet"]


@pytest.mark.parametrize("max_age", [0, 600, 86_400])
def test_without_exp_it_is_remembered_until_it_is_outdated(provider, configure, post, max_age):
    options = {"MAX_AGE": max_age, "LEEWAY": 300}
    configure({"BACKCHANNEL_LOGOUT": options}, ALLOW_MISSING_EXP=True)
    issued = int(time.time()) - 60
    token = provider.token(without=["exp"], iat=issued)
    assert post(token).status_code == 200
    expires = Logout.objects.get().expires
    assert expires == datetime.fromtimestamp(issued + max_age + 300, UTC)
    assert description(post(token)) == "The logout token has been used already."


def test_without_exp_it_is_refused_once_it_may_be_forgotten(provider, configure, post, monkeypatch):
    configure(ALLOW_MISSING_EXP=True)
    token = provider.token(without=["exp"])
    assert post(token).status_code == 200
    expires = Logout.objects.get().expires.timestamp()
    monkeypatch.setattr("bff_sessions.oidc.logout.tokens.time.time", lambda: expires - 1)
    assert description(post(token)) == "The logout token has been used already."
    Logout.objects.all().delete()
    monkeypatch.setattr("bff_sessions.oidc.logout.tokens.time.time", lambda: expires)
    assert description(post(token)) == "The logout token was issued too long ago."


# Failures of ours


def test_without_keys_of_the_provider_it_is_refused(provider, configure, post, sessions):
    configure(JWKS_URI=None)
    for _ in range(3):
        assert "the provider has no jwks_uri" in description(post(provider.token()))
    assert left(provider) == ["laptop", "phone", "tablet"]
    assert provider.requests == []


def test_wrong_discovery_url_is_found_in_the_log(provider, configure, post, caplog):
    provider.answers["/wrong"] = (404, {}, b"")
    configure(DISCOVERY_URL=f"{provider.issuer}/wrong")
    for _ in range(2):
        token = provider.token()
        assert post(token).status_code == 503
        *_, text = (r.getMessage() for r in caplog.records if r.name == "bff_sessions.logout")
        assert f"The metadata of {provider.issuer} cannot be used." in text
        assert "status 404" in text
        assert token not in text


def test_a_provider_that_is_down_is_no_fault_of_the_token(provider, post, sessions):
    provider.answers["/keys"] = (500, {}, b"")
    response = post(provider.token())
    assert response.status_code == 503
    assert response.json()["error"] == "temporarily_unavailable"
    assert response["Cache-Control"] == "no-store"
    assert response["Retry-After"] == "10"
    assert left(provider) == ["laptop", "phone", "tablet"]


def test_outage_of_a_provider_is_one_error(provider, post, caplog):
    caplog.set_level(logging.INFO, "bff_sessions.logout")
    provider.answers["/keys"] = (500, {}, b"")
    for _ in range(5):
        assert post(provider.token()).status_code == 503
    text = (
        f"A logout could not be verified. The keys of {provider.issuer} cannot be used. The "
        "provider answered with status 500."
    )
    assert errors(caplog) == [("bff_sessions.logout", text)]
    again = f"{text} The request failed recently and is not repeated yet."
    assert lines(caplog) == [("ERROR", text), *[("INFO", again)] * 4]


def test_unknown_keys_are_no_error(provider, post, caplog):
    answers = {post(provider.token(headers={"kid": f"kid {n}"})).status_code for n in range(9)}
    assert answers == {503}
    assert errors(caplog) == []
    assert {level for level, _ in lines(caplog)} == {"WARNING"}


@pytest.mark.parametrize("error", [StoreUnavailable(), RevocationUnconfirmed([])])
def test_outage_of_the_store_is_one_error(provider, post, sessions, monkeypatch, caplog, error):
    caplog.set_level(logging.INFO, "bff_sessions.logout")
    monkeypatch.setattr(get_store(), "delete_user_sessions", mock.Mock(side_effect=error))
    token = provider.token()
    assert [post(token).status_code for _ in range(5)] == [503] * 5
    text = f"A logout could not be carried out. {error}"
    assert errors(caplog) == [("bff_sessions.logout", text)]
    assert lines(caplog) == [("ERROR", text), *[("INFO", text)] * 4]


@pytest.mark.parametrize("error", [StoreUnavailable(), RevocationUnconfirmed([])])
def test_logout_that_is_not_certain_is_sent_again(provider, post, sessions, monkeypatch, error):
    token = provider.token()
    with monkeypatch.context() as patched:
        patched.setattr(get_store(), "delete_user_sessions", mock.Mock(side_effect=error))
        response = post(token)
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert post(token).status_code == 200
    assert left(provider) == ["phone", "tablet"]


FAULTS = ROLLED_BACK | LOST


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("make", FAULTS.values(), ids=FAULTS)
def test_logout_during_an_outage_of_the_database_is_sent_again(
    provider, post, sessions, monkeypatch, caplog, make
):
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: None)
    token = provider.token()
    with Fault(make, times=99)():
        response = post(token)
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert response.json() == {
        "error": "temporarily_unavailable",
        "error_description": "The sessions cannot be reached.",
    }
    ((name, text),) = errors(caplog)
    assert name == "bff_sessions.logout"
    assert text.startswith("A logout could not be carried out. The database ")
    assert post(token).status_code == 200
    assert left(provider) == ["phone", "tablet"]


def find_providers_in_no_table(issuer):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM not_there")


def test_callable_whose_query_fails_asks_for_the_token_again(provider, settings, post, caplog):
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.find_providers_in_no_table"}
    response = post(provider.token())
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert "The callable in BFF_SESSIONS['PROVIDERS'] failed" in caplog.text
    assert [name for name, _ in errors(caplog)] == ["bff_sessions.logout"]
    assert "not_there" not in "".join(record.getMessage() for record in caplog.records)


@pytest.mark.django_db(transaction=True)
def test_missing_table_is_an_error_for_the_operator(provider, post, sessions, monkeypatch):
    monkeypatch.setattr(Logout._meta, "db_table", "not_there")
    assert post(provider.token()).status_code == 500
    assert left(provider) == ["laptop", "phone", "tablet"]


def test_when_it_is_up_again_the_same_token_works(provider, post, sessions, clock):
    provider.answers["/keys"] = (500, {}, b"")
    token = provider.token()
    assert post(token).status_code == 503
    del provider.answers["/keys"]
    assert post(token).status_code == 503  # Left in peace.
    clock.advance(10)
    assert post(token).status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_a_provider_that_is_down_while_its_keys_are_known_ends_sessions(provider, post, sessions):
    assert post(provider.token(sid="unknown")).status_code == 200
    provider.answers["/keys"] = (500, {}, b"")
    assert post(provider.token()).status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_wrong_settings_are_no_fault_of_the_token(provider, configure, settings, post):
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: {"CLIENT_ID": None}}}
    assert post(provider.token()).status_code == 500


# Wrong ways


def description(response):
    assert response.status_code == 400
    assert response["Cache-Control"] == "no-store"
    assert response.json()["error"] == "invalid_request"
    return response.json()["error_description"]


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_verbs_are_not_allowed(provider, client, url, sessions, verb):
    query = f"{url}?{urlencode({'logout_token': provider.token()})}"
    response = client.generic(verb, query)
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert response["Cache-Control"] == "no-store"
    assert left(provider) == ["laptop", "phone", "tablet"]


def test_a_token_in_the_address_is_none(provider, client, url, sessions):
    query = f"{url}?{urlencode({'logout_token': provider.token()})}"
    assert "exactly one" in description(client.post(query, "a=b", FORM))
    assert left(provider) == ["laptop", "phone", "tablet"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/jwt", ""])
def test_only_a_form_is_taken(provider, client, url, kind):
    body = urlencode({"logout_token": provider.token()})
    assert "must be a form" in description(client.post(url, body, kind))


def test_a_form_of_parts_is_none(provider, client, url):
    assert "must be a form" in description(client.post(url, {"logout_token": provider.token()}))


@pytest.mark.parametrize("body", ["a=b", "LOGOUT_TOKEN=a", "logout_token=a&logout_token=a"])
def test_there_has_to_be_one_token(client, url, body):
    assert "exactly one" in description(client.post(url, body, FORM))


@pytest.mark.parametrize("body", [b"logout_token=\xff", "&".join(f"a{n}=1" for n in range(30))])
def test_a_form_that_cannot_be_read_is_refused(client, url, body):
    assert "cannot be read" in description(client.post(url, body, FORM))


@pytest.mark.parametrize("header", [{}, {"CONTENT_LENGTH": "70000"}])
def test_what_is_too_long_is_refused_unread(provider, client, url, header):
    body = f"logout_token={provider.token()}&more={'a' * 70_000}"
    assert "too long" in description(client.post(url, body, FORM, **header))


def test_chunked_request_that_arrives_empty_is_named(provider, client, url):
    more = {"CONTENT_TYPE": FORM, "HTTP_TRANSFER_ENCODING": "chunked"}
    response = client.generic("POST", url, **more)
    assert description(response) == "The request must have a Content-Length."


def test_chunked_request_is_read_if_the_server_can(provider, sessions, url):
    body = urlencode({"logout_token": provider.token()})
    response = async_to_sync(AsyncClient().post)(
        url, body, FORM, headers={"Transfer-Encoding": "chunked"}
    )
    assert response.status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_other_fields_are_ignored(provider, client, url):
    body = urlencode({"state": "a", "logout_token": provider.token(), "iss": "b"})
    assert client.post(url, body, FORM).status_code == 200


def test_a_charset_is_no_other_kind_of_form(provider, client, url):
    body = urlencode({"logout_token": provider.token()})
    assert client.post(url, body, f"{FORM}; charset=UTF-8").status_code == 200


def test_without_providers_there_is_no_endpoint(provider, settings, post):
    settings.BFF_SESSIONS = {}
    assert post(provider.token()).status_code == 404


# Around it


def test_no_session_is_touched(provider, url, sessions, django_assert_num_queries):
    session = SessionStore()
    session["a"] = 1
    session.save()
    client = Client()
    client.cookies[project.SESSION_COOKIE_NAME] = session.session_key
    body = urlencode({"logout_token": "no token"})
    with django_assert_num_queries(0):
        response = client.post(url, body, FORM)
    assert not response.has_header("Vary")
    assert not response.cookies
    body = urlencode({"logout_token": provider.token()})
    response = client.post(url, body, FORM)
    assert response.status_code == 200
    assert not response.has_header("Vary")
    assert not response.cookies


def test_a_login_that_is_required_everywhere_is_not_required_here(provider, settings, post):
    login_required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, login_required]
    assert post(provider.token()).status_code == 200


def test_the_middleware_against_forgery_is_not_in_the_way(provider, settings, post):
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, csrf]
    assert post(provider.token()).status_code == 200


def test_few_statements(provider, post, sessions):
    post(provider.token(sid="unknown"))
    with CaptureQueriesContext(connection) as queries:
        assert post(provider.token()).status_code == 200
    verbs = [query["sql"].split()[0] for query in queries]
    # Written down; those without a sid looked for; found, read with a lock and deleted, looked for
    # again; used.
    expected = ["SELECT", "INSERT", "SELECT", "SELECT", "SELECT", "DELETE", "SELECT", "UPDATE"]
    if connection.vendor == "sqlite":
        expected.insert(4, "UPDATE")  # Its one lock.
    assert [verb for verb in verbs if verb not in ("SAVEPOINT", "RELEASE")] == expected


def test_asynchronous_deployments_are_served(provider, url, sessions):
    client = AsyncClient()
    body = urlencode({"logout_token": provider.token()})
    response = async_to_sync(client.post)(url, body, FORM)
    assert response.status_code == 200
    assert left(provider) == ["phone", "tablet"]


def test_what_is_logged_is_whose_logout_it_was_and_no_more(provider, post, sessions, caplog):
    caplog.set_level(logging.DEBUG)
    token = provider.token(jti="some jti")
    post(token)
    post(token)
    assert lines(caplog) == [
        ("INFO", f"A logout of {provider.issuer} was accepted. Sessions ended: 1."),
        ("WARNING", "A logout was refused. The logout token has been used already."),
    ]
    said = "".join(record.getMessage() for record in caplog.records if "factory" not in record.name)
    for part in [*token.split("."), "alice", "laptop", "some jti"]:
        assert part not in said


# Transactions


@pytest.mark.django_db(transaction=True)
def test_atomic_requests_do_not_hide_what_others_have_to_see(provider, post, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    seen = []
    real = handling.revoke_sessions

    def look(filter, **kwargs):
        seen.append((connection.in_atomic_block, Logout.objects.count()))
        return real(filter, **kwargs)

    monkeypatch.setattr(handling, "revoke_sessions", look)
    assert post(provider.token()).status_code == 200
    assert seen == [(False, 1)]


def test_no_database_has_it_in_a_transaction():
    assert backchannel_logout._non_atomic_requests == set(project.DATABASES)


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_it_says_so(provider):
    SessionFactory(issuer=provider.issuer, session_id="laptop")
    token = verify_logout_token(provider.token())
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        end_sessions(token)
    assert Session.objects.count() == 1
    assert not Logout.objects.exists()


@pytest.fixture
def repeatable_read(transactional_db):
    """Let the transactions of this thread read a snapshot of the database."""
    session = {"postgresql": "SESSION CHARACTERISTICS AS", "mysql": "SESSION"}[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"SET {session} TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    yield
    connection.close()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="Two connections would lock each other")
@pytest.mark.django_db(transaction=True)
def test_delivery_that_does_not_see_the_other_one_is_a_replay(
    provider, post, monkeypatch, repeatable_read
):
    token, answers = provider.token(), []
    real = Logout.objects._queryset_class.create

    def create(self, **values):
        # This transaction has looked for the token, and has not found it.
        if not answers:
            answers.append(0)
            with ThreadPoolExecutor(1) as pool:
                answers.append(pool.submit(deliver).result(30))
        return real(self, **values)

    def deliver():
        try:
            return post(token).status_code
        finally:
            connections.close_all()

    monkeypatch.setattr("bff_sessions.oidc.models.LogoutQuerySet.create", create, raising=False)
    answers.append(post(token).status_code)
    assert answers == [0, 200, 400]
    assert Logout.objects.count() == 1


def test_collision_with_an_unfinished_delivery_begins_again(provider, post, sessions, monkeypatch):
    tries, real = [], Logout.objects._queryset_class.get_or_create

    def get_or_create(self, **values):
        tries.append(values["token"])
        if len(tries) > 1:
            return real(self, **values)
        with transaction.atomic():
            self.create(token=values["token"], **values["defaults"])
        raise IntegrityError

    monkeypatch.setattr(
        "bff_sessions.oidc.models.LogoutQuerySet.get_or_create", get_or_create, raising=False
    )
    assert post(provider.token()).status_code == 200
    assert len(tries) == 2
    assert left(provider) == ["phone", "tablet"]


# Clean-up


def test_what_is_remembered_is_removed_in_the_end(provider, post):
    for number in range(5):
        post(provider.token(jti=str(number)))
    expired = list(Logout.objects.order_by("pk").values_list("pk", flat=True)[:3])
    Logout.objects.filter(pk__in=expired).update(expires=ago(seconds=1))
    assert Logout.objects.current().delete_expired(2) == 2
    assert Logout.objects.current().delete_expired(2) == 1
    assert Logout.objects.current().delete_expired(2) == 0
    assert Logout.objects.count() == 2


def test_cleanup_sessions_removes_it(provider, post, capsys):
    post(provider.token())
    post(provider.token())
    Logout.objects.filter(pk=Logout.objects.first().pk).update(expires=ago(seconds=1))
    call_command("cleanup_sessions", "--dry-run")
    assert Logout.objects.count() == 2
    call_command("cleanup_sessions", "--sleep", "0")
    assert Logout.objects.count() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 expired sessions deleted."


def test_request_that_breaks_off_is_no_fault_of_this_site(provider, rf, caplog):
    caplog.set_level("INFO", "django.request")
    request = rf.post("/bff/backchannel-logout", "logout_token=a", FORM)
    request._stream = mock.Mock(read=mock.Mock(side_effect=OSError("secret")))
    response = backchannel_logout(request)
    assert response.status_code == 503
    assert b"temporarily_unavailable" in response.content
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "secret" not in caplog.text
