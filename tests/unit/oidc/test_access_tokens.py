"""The access token, always fresh: at a provider that rotates refresh tokens, over real HTTP."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from django.views.debug import ExceptionReporter

import bff_sessions
from bff_sessions import aget_access_token, get_access_token
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import (
    BffSessionsError,
    ClientMisconfigured,
    ProviderUnavailable,
    SessionBusy,
    SessionConflict,
    SignInEnded,
    SignInRequired,
)
from bff_sessions.models import TokenRevocation
from bff_sessions.oidc.refresh import access_tokens, token_endpoint
from bff_sessions.oidc.tokens import Tokens, keep_tokens
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.support.factories import UserFactory
from tests.support.processes import ROOT, go, processes
from tests.support.provider import make_id_token, serve
from tests.support.sessions import start
from tests.support.stores import MEMORY

pytestmark = pytest.mark.django_db(transaction=True)

ALICES = UserSessionsFilter(subject_id="alice")
MANY = 20


def call_view(request):
    return HttpResponse(get_access_token(request))


urlpatterns = [path("call", call_view), path("bff/", include("bff_sessions.urls"))]


@pytest.fixture
def provider(settings, monkeypatch):
    monkeypatch.setattr(token_endpoint, "_failed", {})
    with serve(monkeypatch) as provider:
        settings.BFF_SESSIONS = provider.settings
        yield provider


def request_of(session_key):
    request = RequestFactory().get("/")
    request.session = SessionStore(session_key)
    request.user = AnonymousUser()
    return request


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def get(request):
    """Get the access token as a request of a session does."""

    def get(of, **options):
        if not hasattr(of, "session"):
            of = request_of(of)
        if request.param:
            return async_to_sync(aget_access_token)(of, **options)
        return get_access_token(of, **options)

    return get


def kept(session_key):
    return keep_tokens(dict(SessionStore(session_key).items()))


def paths(provider):
    return provider.requests


def test_a_fresh_token_is_returned_as_it_is(provider, get, django_assert_num_queries):
    data = provider.sign_in()
    key = start(**data)
    with django_assert_num_queries(1):
        assert get(key) == data["oidc"]["access_token"]
    assert provider.requests == []


UNKNOWN_EXPIRIES = {
    "unreadable": {"expires_at": "tomorrow"},
    "without a beginning": {"expires_at": None, "expires_in": 300},
}


@pytest.mark.parametrize("fields", UNKNOWN_EXPIRIES.values(), ids=UNKNOWN_EXPIRIES)
def test_token_of_unknown_expiry_is_refreshed(provider, get, fields):
    data = provider.sign_in()
    data["oidc"] |= fields
    key = start(**data)
    token = get(key)
    assert token != data["oidc"]["access_token"]
    assert provider.is_valid(token)
    assert get(key) == token  # Its expiry is known.
    assert len(provider.refreshed) == 1


@pytest.mark.parametrize("fields", UNKNOWN_EXPIRIES.values(), ids=UNKNOWN_EXPIRIES)
def test_token_of_unknown_expiry_is_never_returned_stale(provider, get, fields):
    data = provider.sign_in()
    data["oidc"] |= fields
    provider.answers["/token"] = (503, {}, "")
    with pytest.raises(ProviderUnavailable):
        get(start(**data))
    data["oidc"]["refresh_token"] = None
    key = start(**data)
    for _ in range(2):
        with pytest.raises(SignInRequired, match="expiry of the access token is unknown"):
            get(key)
    assert kept(key).access_token is not None


def test_mozilla_token_without_expiry_is_never_returned_stale(provider, get):
    token = make_id_token(iss=provider.issuer, sub="alice", sid="s1")
    key = start(oidc_access_token="stale", oidc_id_token=token)
    with pytest.raises(SignInRequired, match="The log bff_sessions"):
        get(key)


def test_shortly_before_it_expires_it_is_refreshed_and_saved_at_once(provider, get):
    data = provider.sign_in(expires_in=20, scope="openid", theirs="stays")
    key = start(**data)
    token = get(key)
    assert token != data["oidc"]["access_token"]
    assert provider.is_valid(token)
    now = SessionStore(key)["oidc"]
    assert now["access_token"] == token
    assert now["refresh_token"] in provider.refresh_tokens
    assert 295 <= now["expires_at"] - time.time() <= 300
    # What the provider did not give anew stays.
    for name in ("iss", "sub", "sid", "scope", "theirs", "id_token"):
        assert now[name] == data["oidc"][name]
    assert get(key) == token
    assert provider.refreshed == [data["oidc"]["refresh_token"]]


def test_it_is_asked_for_as_the_specification_says(provider, get):
    data = provider.sign_in(expires_in=-1)
    get(start(**data))
    (form,) = [form for path, form, _ in provider.forms if path == "/token"]
    refresh_token = data["oidc"]["refresh_token"]
    assert form == {"grant_type": "refresh_token", "refresh_token": refresh_token}


def test_a_refresh_token_that_is_not_rotated_stays(provider, get):
    provider.rotates = False
    data = provider.sign_in(expires_in=-1)
    key = start(**data)
    assert provider.is_valid(get(key))
    assert kept(key).refresh_token == data["oidc"]["refresh_token"]


def test_the_view_may_fail_afterwards(provider, get):
    key = start(**provider.sign_in(expires_in=-1))
    request = request_of(key)
    token = get(request)
    # No middleware comes to save it.
    assert kept(key).access_token == token
    assert request.session.modified  # And one that does renews the cookie, too.


def test_a_new_id_token_is_kept(provider, get):
    key = start(**provider.sign_in(expires_in=-1))
    new = provider.sign_id_token({"sub": "alice", "sid": "s1", "auth_time": 5})
    answer_with(provider, {"access_token": "a2", "refresh_token": "r2", "id_token": new})
    assert get(key) == "a2"
    assert (kept(key).id_token, kept(key).refresh_token) == (new, "r2")


@pytest.mark.parametrize("old", ["readable", "encrypted", None])
@pytest.mark.parametrize(
    "claims", [{"sub": "bob"}, {"iss": "https://else.example"}, {"sub": "bob", "iss": None}]
)
def test_tokens_of_somebody_else_end_the_sign_in(provider, get, claims, old):
    """Also if the old id token cannot be read: the session knows who signed in."""
    data = provider.sign_in(expires_in=-1)
    if old != "readable":
        data["oidc"]["id_token"] = old and ENCRYPTED
    key = start(**data)
    ours = {"iss": provider.issuer, "sub": "alice"}
    answer_with(provider, {"access_token": "a2", "id_token": make_id_token(**ours | claims)})
    with pytest.raises(SignInEnded):
        get(key)
    assert kept(key) is None


# A JWE has five parts: RFC 7516, 3.1.
ENCRYPTED = f"{make_id_token(sub='bob').replace('.', '.secret-0.')}.c2VjcmV0"
UNREADABLE = {
    "encrypted": f"{ENCRYPTED}Nw",
    "not a token": "secret-1.secret-2.secret-3",
    "padded": make_id_token(sub="bob") + "==",
    "an object": {"sub": "bob"},
    "without iss": make_id_token(sub="alice"),
    "without sub": make_id_token(nonce="n"),
}


@pytest.mark.parametrize("old", ["readable", "encrypted", None])
@pytest.mark.parametrize("new", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_id_token_is_neither_compared_nor_kept(provider, get, caplog, old, new):
    data = provider.sign_in(expires_in=-1)
    if old != "readable":
        data["oidc"]["id_token"] = old and ENCRYPTED
    key = start(**data)
    answer_with(provider, {"access_token": "a2", "id_token": new, "expires_in": 300})
    assert get(key) == "a2"
    assert kept(key).id_token == data["oidc"]["id_token"]
    answer_with(provider, {"access_token": "a3", "id_token": new, "expires_in": 300})
    assert get(key, margin=400) == "a3"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert provider.issuer in record.getMessage()
    assert not any(part in caplog.text for part in str(new).split(".") if len(part) > 2)


def test_unreadable_id_token_does_not_hide_whose_session_it_is(provider, get):
    """mozilla-django-oidc's id token is what the identity resolver reads."""
    given = provider.sign_in()["oidc"]
    key = start(
        oidc_id_token=given["id_token"],
        oidc_access_token=given["access_token"],
        oidc_refresh_token=given["refresh_token"],
        oidc_token_expiration=time.time() - 1,
    )
    answer_with(provider, {"access_token": "a2", "id_token": ENCRYPTED})
    assert get(key) == "a2"
    assert SessionStore(key)["oidc_id_token"] == given["id_token"]
    assert revoke_sessions(ALICES) == 1


def test_an_old_id_token_that_cannot_be_read_tells_nothing(provider, get):
    key = start(**provider.sign_in(expires_in=-1, id_token="encrypted"))
    answer_with(provider, {"access_token": "a2", "id_token": make_id_token(sub="alice")})
    assert get(key) == "a2"


def answer_with(provider, document, status=200, headers=()):
    provider.answers["/token"] = status, dict(headers), document


# How early


def test_the_margin_is_a_fifth_of_a_short_life(provider, get):
    data = provider.sign_in(expires_in=30, expires_in_was=None)
    data["oidc"]["expires_in"] = 60
    assert get(start(**data)) == data["oidc"]["access_token"]
    data = provider.sign_in(expires_in=10)
    data["oidc"]["expires_in"] = 60
    assert get(start(**data)) != data["oidc"]["access_token"]


def test_a_refreshed_token_of_a_short_life_is_not_refreshed_again(provider, get):
    provider.expires_in = 30
    key = start(**provider.sign_in(expires_in=-1))
    assert get(key) == get(key) == get(key)
    assert len(provider.refreshed) == 1


def test_the_margin_can_be_set_and_given(provider, get, settings):
    data = provider.sign_in(expires_in=100)
    key = start(**data)
    settings.BFF_SESSIONS = provider.settings | {"ACCESS_TOKEN_MARGIN": 200}
    assert get(key, margin=50) == data["oidc"]["access_token"]
    assert get(key) != data["oidc"]["access_token"]


def test_where_nobody_knows_when_it_expires_it_stays(provider, get):
    data = provider.sign_in(expires_at=None)
    assert get(start(**data)) == data["oidc"]["access_token"]


@pytest.mark.parametrize("given", [None, "soon", 1e300, -1, True, "NaN", ["300"], "9" * 5000])
def test_an_answer_may_leave_out_how_long_it_is_good_for(provider, get, given, caplog):
    key = start(**provider.sign_in(expires_in=-1))
    answer_with(provider, {"access_token": "a2", "expires_in": given})
    assert get(key) == "a2"
    assert kept(key).expires_at is None
    # "Unknown" means "good for ever", so an answer that is not understood is reported.
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (given is not None)


@pytest.mark.parametrize("given", [{}, {"expires_in": "soon"}])
def test_what_was_said_of_its_lifetime_before_holds_on(provider, get, given):
    data = provider.sign_in(expires_in=-1)
    data["oidc"]["expires_in"] = 100
    key = start(**data)
    answer_with(provider, {"access_token": "a2", **given})
    get(key)
    assert 95 <= kept(key).seconds_left <= 100


# Many at once


def check_many(provider, key, tokens):
    assert len(tokens) == MANY
    assert len(provider.refreshed) == 1
    assert provider.void == set()
    assert set(tokens) == {kept(key).access_token}
    assert provider.is_valid(tokens[0])
    assert kept(key).refresh_token in provider.refresh_tokens


@pytest.mark.race
@pytest.mark.parametrize("lifetime", [300, 30], ids=["long", "shorter than the margin"])
@pytest.mark.parametrize("store", [None, MEMORY], ids=["orm", "memory"])
def test_of_many_threads_one_refreshes(provider, settings, store, lifetime):
    if store is not None:
        settings.BFF_SESSIONS = provider.settings | {"STORE": store}
    provider.delay, provider.expires_in = 0.1, lifetime
    key, tokens, failures = start(**provider.sign_in(expires_in=-1)), [], []

    def request():
        try:
            tokens.append(get_access_token(request_of(key)))
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    in_threads([request] * MANY)
    assert failures == []
    check_many(provider, key, tokens)


def without_lifetime(data, new=None):
    """Does not keep how long a token is good for, so that the margin is longer than that."""
    tokens = keep_tokens(data, new and replace(new, expires_in=None))
    return tokens and replace(tokens, expires_in=None)


def test_who_waited_takes_what_came_though_it_expires_soon(provider, settings):
    settings.BFF_SESSIONS = provider.settings | {"TOKENS": f"{__name__}.without_lifetime"}
    provider.delay, provider.expires_in = 0.3, 30
    key, tokens = start(**provider.sign_in(expires_in=-1)), []

    def request():
        tokens.append(get_access_token(request_of(key)))
        connection.close()

    in_threads([request] * 4)
    assert len(provider.refreshed) == 1
    assert tokens == [kept(key).access_token] * 4


def in_threads(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.race
@pytest.mark.parametrize("shares_request", [False, True])
def test_of_many_tasks_one_refreshes(provider, shares_request):
    provider.delay = 0.1
    key = start(**provider.sign_in(expires_in=-1))
    shared = request_of(key)

    async def requests():
        requests = [shared if shares_request else request_of(key) for _ in range(MANY)]
        return await asyncio.gather(*map(aget_access_token, requests))

    check_many(provider, key, async_to_sync(requests)())


PROCESS = """
import json, sys, threading
import django
from django.conf import settings
partition, session_key, options, count, lease = json.loads(sys.stdin.readline())
settings.BFF_SESSIONS = options
django.setup()
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from bff_sessions import get_access_token
from bff_sessions.engine import SessionStore
from bff_sessions.oidc.refresh import access_tokens
access_tokens._LEASE = lease

def request():
    request = RequestFactory().get("/")
    request.session = SessionStore(session_key)
    try:
        answer = get_access_token(request)
    except Exception as error:
        answer = type(error).__name__
    connection.close()
    # One write: print() writes the end of a line by itself, and threads get in between.
    sys.stdout.write(f"{answer}\\n")

print("ready", flush=True); sys.stdin.readline()
threads = [threading.Thread(target=request) for _ in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.fixture
def process(provider):
    """A process of its own, with some requests at once."""
    with processes("tests.settings") as start_process:

        def start_process_of(session_key, count, lease=15):
            return start_process(
                PROCESS, json.dumps(["", session_key, provider.settings, count, lease])
            )

        yield start_process_of


@pytest.mark.processes
def test_of_many_processes_one_refreshes(provider, process):
    provider.delay = 0.1
    key = start(**provider.sign_in(expires_in=-1))
    started = [process(key, MANY // 4) for _ in range(4)]
    go(*started)
    tokens = "".join(each.communicate(timeout=100)[0] for each in started).split()
    check_many(provider, key, tokens)


@pytest.mark.processes
def test_who_is_killed_while_it_refreshes_leaves_it_to_others(provider, process):
    """Before the provider has done anything: afterwards nobody knows the new token."""
    asked, answer = threading.Event(), threading.Event()

    def wait(form):
        if not asked.is_set():
            asked.set()
            answer.wait(60)
            form["refresh_token"] = "nothing arrived"

    provider.before["/token"] = wait
    key = start(**provider.sign_in(expires_in=-1))
    holder = process(key, 1, lease=3)
    go(holder)
    assert asked.wait(60)
    holder.kill()
    assert provider.is_valid(get_access_token(request_of(key)))
    answer.set()
    assert len(provider.refreshed) == 1


def test_while_it_is_good_others_do_not_wait(provider):
    data = provider.sign_in(expires_in=50)
    key, answers = start(**data), []

    def from_others(form):
        try:
            answers.append(get_access_token(request_of(key)))
        finally:
            connection.close()

    provider.before["/token"] = lambda form: in_threads([lambda: from_others(form)])
    new = get_access_token(request_of(key))
    assert answers == [data["oidc"]["access_token"]]
    assert kept(key).access_token == new
    assert len(provider.refreshed) == 1


def test_who_waits_for_too_long_is_told(provider, get, monkeypatch):
    monkeypatch.setattr(access_tokens, "_TIMEOUT", 0.1)
    key = start(**provider.sign_in(expires_in=-1))
    with SessionStore(key).exclusive(), pytest.raises(SessionBusy):
        get(key)
    assert provider.is_valid(get(key))


def test_a_browser_that_goes_away_loses_no_token(provider):
    """A task that is cancelled while it refreshes saves what comes."""
    provider.delay = 0.3
    key = start(**provider.sign_in(expires_in=-1))

    async def request():
        task = asyncio.create_task(aget_access_token(request_of(key)))
        while "/token" not in paths(provider):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async_to_sync(request)()
    assert len(provider.refreshed) == 1
    assert provider.is_valid(kept(key).access_token)
    assert kept(key).refresh_token in provider.refresh_tokens


def test_a_browser_that_goes_away_hides_no_fault(provider):
    provider.delay = 0.3
    answer_with(provider, {}, status=500)
    key = start(**provider.sign_in(expires_in=-1))

    async def request():
        task = asyncio.create_task(aget_access_token(request_of(key)))
        while "/token" not in paths(provider):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async_to_sync(request)()
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_cancelled_request_does_not_wait_for_others(provider, monkeypatch):
    monkeypatch.setattr(access_tokens, "_TIMEOUT", 40)
    key = start(**provider.sign_in(expires_in=-1))

    async def request():
        async with SessionStore(key).exclusive(seconds=60):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(aget_access_token(request_of(key)), 0.2)
            assert provider.refreshed == []

    began = time.monotonic()
    async_to_sync(request)()
    assert time.monotonic() - began < 30
    assert provider.is_valid(get_access_token(request_of(key)))


def test_cancelled_request_whose_session_ends_hands_its_token_over(provider, settings):
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "TOKEN_REVOCATION": {}}
    key = start(**provider.sign_in(expires_in=-1))
    asked, answer = threading.Event(), threading.Event()

    def wait(form):
        asked.set()
        answer.wait(60)

    async def request():
        task = asyncio.create_task(aget_access_token(request_of(key)))
        await asyncio.to_thread(asked.wait, 60)
        await get_store().adelete_user_session(SessionStore(key).store_key)
        task.cancel()
        await asyncio.sleep(0)
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    provider.before["/token"] = wait
    async_to_sync(request)()
    assert len(provider.refreshed) == 1
    assert TokenRevocation.objects.count() == 1


def test_the_event_loop_goes_on(provider):
    provider.delay = 0.5
    key = start(**provider.sign_in(expires_in=-1))

    async def count_steps():
        task = asyncio.create_task(aget_access_token(request_of(key)))
        while "/token" not in paths(provider):
            await asyncio.sleep(0.01)
        steps = 0
        while not task.done():
            await asyncio.sleep(0.01)
            steps += 1
        assert provider.is_valid(await task)
        return steps

    assert async_to_sync(count_steps)() > 5


# Refused


def test_a_refused_refresh_token_ends_the_sign_in(provider, get):
    data = provider.sign_in(expires_in=-1)
    key = start(cart="full", **data)
    provider.void.update(provider.access_tokens.values())
    request = request_of(key)
    request.user = UserFactory()
    with pytest.raises(SignInEnded) as caught:
        get(request)
    assert isinstance(caught.value, SignInRequired)
    assert isinstance(caught.value, BffSessionsError)
    assert request.session.is_empty()
    assert not request.user.is_authenticated
    assert dict(SessionStore(key).items()) == {}
    assert revoke_sessions(ALICES) == 0
    with pytest.raises(SignInRequired):
        get(key)


def test_others_that_wait_are_told_too(provider):
    provider.delay = 0.2
    key, raised = start(**provider.sign_in(expires_in=-1)), []
    provider.void.update(provider.access_tokens.values())

    def request():
        try:
            get_access_token(request_of(key))
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    in_threads([request] * 4)
    assert [isinstance(error, SignInRequired) for error in raised] == [True] * 4
    assert paths(provider).count("/token") == 1


def test_a_token_that_somebody_else_has_just_used_is_no_refusal(provider, get):
    """The lease was lost to a slow provider, say: what the other one got counts."""
    data = provider.sign_in(expires_in=-1)
    key = start(**data)

    def other_is_quicker(form):
        del provider.before["/token"]
        new = provider._issue("alice-0")
        session = SessionStore(key)
        session["oidc"] = {**session["oidc"], **new, "expires_at": time.time() + 300}
        session.save()
        connection.close()
        answer_with(provider, {"error": "invalid_grant"}, status=400)

    provider.before["/token"] = other_is_quicker
    token = get(key)
    assert token == kept(key).access_token != data["oidc"]["access_token"]
    assert provider.is_valid(token)


def test_a_token_that_was_used_and_is_refused_even_so(provider, get):
    key = start(**provider.sign_in(expires_in=-1))

    def other_is_quicker(form):
        session = SessionStore(key)
        session["oidc"] = {**session["oidc"], "refresh_token": f"r{len(provider.requests)}"}
        session.save()
        connection.close()

    provider.before["/token"] = other_is_quicker
    answer_with(provider, {"error": "invalid_grant"}, status=400)
    with pytest.raises(SignInEnded):
        get(key)
    assert paths(provider).count("/token") == 2


def test_a_session_that_ends_meanwhile_takes_the_new_token_with_it(provider, get):
    key = start(**provider.sign_in(expires_in=-1))

    def revoke(form):
        revoke_sessions(ALICES)
        connection.close()

    provider.before["/token"] = revoke
    with pytest.raises(SignInEnded):
        get(key)
    # The one that the session held, and the one that nobody has seen.
    assert TokenRevocation.objects.count() == 2
    assert dict(SessionStore(key).items()) == {}


def test_a_session_that_has_ended_before_is_told_so(provider, get):
    key = start(**provider.sign_in(expires_in=-1))
    request = request_of(key)
    request.session.get("oidc")
    revoke_sessions(ALICES)
    with pytest.raises(SignInEnded):
        get(request)
    assert provider.refreshed == []


def test_a_session_that_ends_while_its_token_is_refused(provider, get):
    key = start(**provider.sign_in(expires_in=-1))

    def revoke(form):
        revoke_sessions(ALICES)
        connection.close()

    provider.before["/token"] = revoke
    answer_with(provider, {"error": "invalid_grant"}, status=400)
    with pytest.raises(SignInEnded):
        get(key)


def test_a_session_that_kept_changing_lives_on(provider, get, monkeypatch):
    """What a save that gave up says is no sign-out."""
    key = start(**provider.sign_in(expires_in=-1))

    def give_up(state, *, move):
        raise SessionConflict("It kept changing.")
        yield

    with monkeypatch.context() as patch:
        patch.setattr("bff_sessions.engine.saving.update", give_up)
        with pytest.raises(SessionConflict):
            get(key)
    assert kept(key) is not None
    assert not TokenRevocation.objects.exists()


@pytest.mark.parametrize(("accept", "status"), [("application/json", 401), ("text/html", 302)])
def test_the_middleware_answers_who_has_to_sign_in(provider, settings, accept, status):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["bff_sessions.middleware.SessionMiddleware"]
    client = Client(headers={"Accept": accept})
    client.cookies["sessionid"] = start(**provider.sign_in(expires_in=-1))
    provider.void.update(provider.access_tokens.values())
    response = client.get("/call")
    assert response.status_code == status
    assert response.cookies["sessionid"]["max-age"] == 0


# Refused until the user has signed in again

SIGN_IN = [
    (400, "interaction_required"),
    (400, "login_required"),
    (400, "consent_required"),
    (403, "mfa_required"),
    (401, "insufficient_user_authentication"),
    (400, "invalid_request"),
    (409, "secret-7"),
]


@pytest.mark.parametrize(("status", "code"), SIGN_IN)
def test_other_refusals_ask_for_sign_in_and_end_nothing(provider, get, caplog, status, code):
    caplog.set_level("DEBUG")
    data = provider.sign_in(expires_in=-1)
    key = start(cart="full", **data)
    answer_with(provider, {"error": code, "error_description": "secret-8"}, status=status)
    for _ in range(2):
        request = request_of(key)
        with pytest.raises(SignInRequired) as caught:
            get(request)
        assert not isinstance(caught.value, SignInEnded)
        assert dict(request.session.items()) == {"cart": "full", **data}
    assert kept(key).refresh_token == data["oidc"]["refresh_token"]
    assert paths(provider).count("/token") == 2
    assert not TokenRevocation.objects.exists()
    assert "secret" not in f"{caplog.text}{caught.value}"
    # The user has done what the provider wanted, with another application perhaps.
    provider.answers.clear()
    assert provider.is_valid(get(key))


@pytest.mark.parametrize(("status", "code"), SIGN_IN)
def test_good_access_token_is_returned_though_refresh_is_refused(provider, get, status, code):
    data = provider.sign_in(expires_in=20)
    key = start(**data)
    answer_with(provider, {"error": code}, status=status)
    assert get(key) == data["oidc"]["access_token"]
    assert paths(provider).count("/token") == 1


def test_token_that_another_request_refreshed_wins_over_a_refusal(provider, get):
    key = start(**provider.sign_in(expires_in=-1))

    def other_is_quicker(form):
        new = {"access_token": "a2", "refresh_token": "r2", "expires_at": time.time() + 300}
        session = SessionStore(key)
        session["oidc"] = {**session["oidc"], **new}
        session.save()
        connection.close()

    provider.before["/token"] = other_is_quicker
    answer_with(provider, {"error": "login_required"}, status=400)
    assert get(key) == "a2"


def test_session_whose_token_kept_changing_is_not_ended(provider, get):
    key = start(**provider.sign_in(expires_in=-1))

    def other_is_quicker(form):
        session = SessionStore(key)
        session["oidc"] = {**session["oidc"], "refresh_token": f"r{len(provider.requests)}"}
        session.save()
        connection.close()

    provider.before["/token"] = other_is_quicker
    answer_with(provider, {"error": "login_required"}, status=400)
    with pytest.raises(SignInRequired) as caught:
        get(key)
    assert not isinstance(caught.value, SignInEnded)
    assert kept(key) is not None


@pytest.mark.parametrize("code", ["invalid_grant", "token_inactive"])
def test_refresh_token_that_is_not_good_any_more_ends_the_session(provider, get, code):
    key = start(**provider.sign_in(expires_in=20))
    answer_with(provider, {"error": code}, status=401)
    with pytest.raises(SignInEnded):
        get(key)
    assert kept(key) is None


@pytest.mark.parametrize(("accept", "status"), [("application/json", 401), ("text/html", 302)])
def test_the_middleware_leads_to_sign_in_and_leaves_the_cookie(provider, settings, accept, status):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = ["bff_sessions.middleware.SessionMiddleware"]
    client = Client(headers={"Accept": accept})
    client.cookies["sessionid"] = key = start(**provider.sign_in(expires_in=-1))
    answer_with(provider, {"error": "interaction_required"}, status=400)
    assert client.get("/call").status_code == status
    assert client.cookies["sessionid"].value == key
    assert kept(key) is not None


# A site that the provider does not accept as its client


@pytest.mark.parametrize(
    "code", ["invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"]
)
def test_misconfigured_client_is_an_error_and_signs_nobody_out(provider, get, caplog, code):
    good, expired = (provider.sign_in(expires_in=seconds, sid=str(seconds)) for seconds in (20, -1))
    good_key, expired_key = start(**good), start(**expired)
    answer_with(provider, {"error": code}, status=401)
    with pytest.raises(ClientMisconfigured):
        get(expired_key)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert provider.issuer in record.getMessage()
    assert code in record.getMessage()
    assert get(good_key) == good["oidc"]["access_token"]
    assert kept(expired_key).refresh_token == expired["oidc"]["refresh_token"]
    provider.answers.clear()
    assert provider.is_valid(get(expired_key))


# A provider that is away


FAULTS = [
    (500, {}, "oops"),
    (503, {"Retry-After": "120"}, {}),
    (429, {}, {}),
    (408, {}, {"error": "invalid_grant"}),
    (425, {}, {"error": "login_required"}),
    (429, {}, {"error": "invalid_client"}),
    (500, {}, {"error": "invalid_grant"}),
    (400, {}, {"error": "temporarily_unavailable"}),
    (403, {}, {"error": "slow_down"}),
    (400, {}, {"error": "server_error"}),
    (403, {}, "<h1>Blocked</h1>"),
    (400, {}, {"error": {"code": "invalid_grant"}}),
    (302, {"Location": "https://elsewhere.example"}, {}),
    (401, {}, {"error": "invalid_client"}),
    (400, {}, {"error": "unauthorized_client"}),
    (404, {}, "not here"),
    (400, {}, {"error": ["invalid_grant"]}),
    (200, {}, "not json"),
    (200, {}, {"token_type": "Bearer"}),
    (200, {}, {"access_token": 1}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault[0]} {fault[2]}" for fault in FAULTS])
def test_a_provider_that_is_down_signs_nobody_out(provider, get, fault, caplog):
    provider.answers["/token"] = fault
    good, expired = (provider.sign_in(expires_in=seconds, sid=str(seconds)) for seconds in (20, -1))
    good_key, expired_key = start(**good), start(**expired)
    assert get(good_key) == good["oidc"]["access_token"]
    with pytest.raises(ProviderUnavailable):
        get(expired_key)
    assert "bff_sessions.oidc" in {record.name for record in caplog.records}
    # And when it is back:
    provider.answers.clear()
    token_endpoint._failed.clear()
    assert provider.is_valid(get(expired_key))
    assert provider.is_valid(get(good_key))
    assert len(provider.refreshed) == 2


def test_a_provider_that_nobody_reaches_signs_nobody_out(settings, get, monkeypatch):
    monkeypatch.setattr(token_endpoint, "_failed", {})
    with serve(monkeypatch) as provider:
        settings.BFF_SESSIONS = provider.settings
        data = provider.sign_in(expires_in=-1)
    key = start(**data)
    with pytest.raises(ProviderUnavailable):
        get(key)
    assert kept(key).refresh_token == data["oidc"]["refresh_token"]


@pytest.mark.parametrize(
    ("status", "body"), [(503, {}), (425, {}), (429, {}), (400, {"error": "slow_down"})]
)
def test_retry_after_of_the_provider_is_kept(provider, get, status, body):
    answer_with(provider, body, status=status, headers={"Retry-After": "120"})
    with pytest.raises(ProviderUnavailable) as caught:
        get(start(**provider.sign_in(expires_in=-1)))
    assert caught.value.retry_after == 120


@pytest.mark.parametrize(("status", "body"), [(500, {}), (400, {"error": "slow_down"})])
def test_a_provider_that_does_not_answer_is_not_waited_for_again_at_once(
    provider, get, status, body
):
    answer_with(provider, body, status=status)
    key = start(**provider.sign_in(expires_in=-1))
    for _ in range(3):
        with pytest.raises(ProviderUnavailable) as caught:
            get(key)
        assert f"The token_endpoint of {provider.issuer} cannot be used." in str(caught.value)
        assert ("status 500" if status == 500 else "slow_down") in str(caught.value)
    assert paths(provider).count("/token") == 1


# Nothing to be had


def test_without_tokens_one_has_to_sign_in(provider, get):
    for data in ({}, {"oidc": {"iss": provider.issuer, "sub": "alice"}}):
        with pytest.raises(SignInRequired):
            get(start(**data))
    with pytest.raises(SignInRequired):
        get(None)


def test_what_cannot_be_refreshed_is_good_until_it_expires(provider, get, settings):
    for change in ({"refresh_token": None}, {"iss": "https://else.example"}):
        data = provider.sign_in(expires_in=20, **change)
        assert get(start(**data)) == data["oidc"]["access_token"]
        with pytest.raises(SignInRequired):
            get(start(**provider.sign_in(expires_in=-1, **change)))
    assert provider.requests == []


@pytest.mark.parametrize("said_by", ["settings", "metadata"])
def test_provider_without_token_endpoint_refreshes_nothing(
    provider, get, settings, caplog, said_by
):
    options = {**provider.options, "DISCOVERY_URL": f"{provider.issuer}/nothing"}
    if said_by == "settings":
        options["TOKEN_ENDPOINT"] = None
    else:
        provider.answers["/nothing"] = 200, {}, {"issuer": provider.issuer}
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}}
    data = provider.sign_in(expires_in=20)
    assert get(start(**data)) == data["oidc"]["access_token"]
    key = start(**provider.sign_in(expires_in=-1, sid="s2"))
    with pytest.raises(SignInRequired) as caught:
        get(key)
    assert type(caught.value) is SignInRequired
    assert kept(key).refresh_token is not None
    assert paths(provider) == ([] if said_by == "settings" else ["/nothing"])
    assert caplog.records == []


def test_a_session_without_issuer_has_nowhere_to_refresh(provider, get):
    data = {"access_token": "a", "refresh_token": "r", "expires_at": 1}
    with pytest.raises(SignInRequired):
        get(start(oidc=data))


def test_the_issuer_may_be_that_of_the_identity(provider, get):
    data = provider.sign_in(expires_in=-1)
    del data["oidc"]["iss"]
    binding = {"iss": provider.issuer, "sub": "alice", "sid": None}
    assert provider.is_valid(get(start(_bff_identity=binding, **data)))


def test_a_refresh_token_alone_will_do(provider, get):
    data = provider.sign_in(access_token=None)
    assert provider.is_valid(get(start(**data)))


def test_the_tokens_of_mozilla_django_oidc(provider, get):
    given = provider.sign_in()["oidc"]
    key = start(
        _bff_identity={"iss": provider.issuer, "sub": "alice", "sid": None},
        oidc_access_token=given["access_token"],
        oidc_refresh_token=given["refresh_token"],
        oidc_token_expiration=time.time() - 1,
    )
    token = get(key)
    assert provider.is_valid(token)
    session = SessionStore(key)
    assert session["oidc_access_token"] == token
    assert session["oidc_refresh_token"] in provider.refresh_tokens
    assert "oidc_id_token" not in session
    assert get(key) == token


def start_as_lasuite(provider, refresh_token, seconds):
    given = provider.sign_in()["oidc"]
    return start(
        oidc_access_token=given["access_token"],
        oidc_id_token=given["id_token"],
        oidc_refresh_token=refresh_token or given["refresh_token"],
        oidc_token_expiration=time.time() + seconds,
    )


def test_the_tokens_of_django_lasuite(provider, get, settings):
    cipher = Fernet(key := Fernet.generate_key())
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = key
    given = provider._issue("alice")
    refresh_token = cipher.encrypt(given["refresh_token"].encode()).decode()
    session_key = start_as_lasuite(provider, refresh_token, -1)
    assert provider.is_valid(get(session_key))
    assert provider.refreshed == [given["refresh_token"]]
    now = SessionStore(session_key)["oidc_refresh_token"]
    assert cipher.decrypt(now).decode() in provider.refresh_tokens


def test_refused_token_that_another_encryption_hides_is_the_same(provider, get, settings):
    """Two encryptions of one token differ, so the tokens are compared."""
    cipher = Fernet(key := Fernet.generate_key())
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = key
    session_key = start_as_lasuite(provider, cipher.encrypt(b"r1").decode(), -1)

    def encrypt_again(form):
        session = SessionStore(session_key)
        session["oidc_refresh_token"] = cipher.encrypt(b"r1").decode()
        session.save()
        connection.close()

    provider.before["/token"] = encrypt_again
    with pytest.raises(SignInEnded):
        get(session_key)
    assert paths(provider).count("/token") == 1


def test_unreadable_refresh_token_is_not_sent_and_ends_nothing(provider, get, caplog):
    ciphertext = Fernet(Fernet.generate_key()).encrypt(b"r1").decode()
    good, expired = (start_as_lasuite(provider, ciphertext, seconds) for seconds in (20, -1))
    for _ in range(2):
        assert get(good) == SessionStore(good)["oidc_access_token"]
        with pytest.raises(SignInRequired) as caught:
            get(expired)
        assert not isinstance(caught.value, SignInEnded)
    assert "/token" not in paths(provider)
    assert SessionStore(expired)["oidc_refresh_token"] == ciphertext
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert provider.issuer in record.getMessage()
    # Nor is it revoked.
    assert revoke_sessions(ALICES) == 2
    assert not TokenRevocation.objects.exists()


def elsewhere(data, new=None):
    if new is not None:
        data["mine"] = [new.access_token, new.refresh_token]
    kept = data.get("mine")
    return kept and Tokens(
        access_token=kept[0], refresh_token=kept[1], expires_at=datetime(2020, 1, 1, tzinfo=UTC)
    )


def test_tokens_may_live_elsewhere(provider, get, settings):
    settings.BFF_SESSIONS = provider.settings | {"TOKENS": f"{__name__}.elsewhere"}
    given = provider.sign_in()["oidc"]
    key = start(
        _bff_identity={"iss": provider.issuer, "sub": "alice", "sid": None},
        mine=[given["access_token"], given["refresh_token"]],
    )
    token = get(key)
    assert SessionStore(key)["mine"][0] == token
    assert provider.is_valid(token)


def broken(data, new=None):
    return data.get("oidc")


def test_a_function_that_returns_something_else_is_told(provider, get, settings):
    settings.BFF_SESSIONS = provider.settings | {"TOKENS": f"{__name__}.broken"}
    with pytest.raises(ImproperlyConfigured, match="not dict"):
        get(start(**provider.sign_in()))


def test_inside_a_transaction_it_says_what_to_do(provider):
    key = start(**provider.sign_in(expires_in=-1))
    with transaction.atomic(), pytest.raises(RuntimeError, match="non_atomic_requests"):
        get_access_token(request_of(key))
    assert "/token" not in paths(provider)


# No token gets out


@pytest.mark.parametrize("fault", [*FAULTS, (400, {}, {"error": "invalid_grant"}), None])
def test_no_token_gets_out(provider, get, fault, caplog):
    caplog.set_level("DEBUG")
    data = provider.sign_in(expires_in=-1)
    key = start(**data)
    request = request_of(key)
    if fault is None:
        provider.void.update(provider.access_tokens.values())
    else:
        provider.answers["/token"] = fault
    with pytest.raises(BffSessionsError) as caught:
        get(request)
    shown = [caplog.text, repr(caught.value), str(caught.value)]
    shown += traceback.format_exception(caught.value)
    shown.append(
        ExceptionReporter(request, caught.type, caught.value, caught.tb).get_traceback_text()
    )
    shown.append(repr(keep_tokens(data)))
    everything = "".join(shown)
    for secret in [*provider.secrets, data["oidc"]["id_token"], "a secret: of the client"]:
        assert secret not in everything


def test_it_is_exported_without_the_extra_until_it_is_used():
    code = """
import sys
import bff_sessions
assert "jwt" not in sys.modules and "requests" not in sys.modules
assert "bff_sessions.engine" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert bff_sessions.get_access_token is access_tokens.get_access_token
    with pytest.raises(AttributeError, match="nothing"):
        bff_sessions.nothing  # noqa: B018


def test_an_interrupted_session_is_no_error_of_django():
    assert not issubclass(SignInEnded, SessionInterrupted)
