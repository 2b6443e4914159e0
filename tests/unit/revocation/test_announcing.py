"""What receivers of the signals get for each start and each end."""

import asyncio
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth import login, logout
from django.contrib.auth.models import AnonymousUser
from django.core.management import call_command
from django.db import transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path

from bff_sessions.contract import (
    Actor,
    ActorKind,
    EndReason,
    UserSessionsFilter,
    UserSessionStoreCleanup,
)
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_session, revoke_sessions
from bff_sessions.signals import session_started, sessions_ended
from bff_sessions.stores import get_store
from tests.support.endpoints import Browser
from tests.support.factories import SessionFactory, UserFactory, ago

pytestmark = pytest.mark.django_db(transaction=True)

ALICE = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
BOB = {"iss": "https://idp.example", "sub": "bob", "sid": "s2"}
ALICES = UserSessionsFilter(subject_id="alice")
THE_SUBJECT = Actor(ActorKind.SUBJECT, "alice")


@pytest.fixture
def heard():
    """What happened, to whom, why and by whom, in the order of the signals."""
    events = []

    def start(sender, session, **kwargs):
        assert sender is type(get_store())
        events.append(("start", session.subject_id))

    def end(sender, sessions, reason, actor, **kwargs):
        assert sender is type(get_store())
        assert {(session.reason, session.actor) for session in sessions} == {(reason, actor)}
        events.extend((reason, session.subject_id, actor) for session in sessions)

    session_started.connect(start)
    sessions_ended.connect(end)
    yield events
    assert session_started.disconnect(start)
    assert sessions_ended.disconnect(end)


def clean_up():
    call_command("cleanup_sessions", verbosity=0, sleep=0)


# Starts


def test_sign_in_starts_a_session_once(any_store, calls, heard):
    session = calls.start(cart=[1])
    assert heard == []
    calls.set(session, "oidc", ALICE)
    calls.save(session)
    calls.cycle_key(session)
    calls.set(session, "cart", [2])
    calls.save(session)
    assert heard == [("start", "alice")]


def test_user_that_is_saved_after_the_claims_starts_no_other_session(heard):
    request = RequestFactory().get("/")
    request.session, request.user = SessionStore(), AnonymousUser()
    request.session["oidc"] = ALICE
    user = UserFactory()
    login(request, user)
    request.session.save()
    assert heard == [("start", "alice")]
    row = Session.objects.get()
    assert (row.subject_id, row.user_id) == ("alice", str(user.pk))


def test_identity_that_signs_in_to_a_session_ends_the_one_before(any_store, calls, heard):
    session = calls.start(oidc=ALICE)
    calls.set(session, "oidc", BOB)
    calls.save(session)
    bob = Actor(ActorKind.SUBJECT, "bob")
    assert heard == [
        ("start", "alice"),
        (EndReason.REPLACED, "alice", bob),
        ("start", "bob"),
    ]


def test_save_without_the_identity_ends_the_session(any_store, calls, heard):
    session = calls.start(oidc=ALICE, cart=[1])
    calls.pop(session, "oidc")
    calls.save(session)
    assert heard[1:] == [(EndReason.CODE, "alice", None)]


def test_rolled_back_sign_in_is_not_announced(heard):
    with transaction.atomic():
        session = SessionStore()
        session["oidc"] = ALICE
        session.save()
        assert heard == []
        transaction.set_rollback(True)
    assert heard == []


def test_broken_receiver_neither_stops_a_sign_in_nor_a_sign_out(any_store, calls, caplog):
    def receiver(**kwargs):
        raise RuntimeError("a fault of the receiver")

    for signal in (session_started, sessions_ended):
        signal.connect(receiver)
    try:
        session = calls.start(oidc=ALICE)
        assert [s.subject_id for s in get_store().get_user_sessions(ALICES)] == ["alice"]
        calls.flush(session)
    finally:
        for signal in (session_started, sessions_ended):
            assert signal.disconnect(receiver)
    assert get_store().get_user_sessions(ALICES) == []
    assert caplog.text.count("RuntimeError: a fault of the receiver") == 2


def test_receivers_run_in_the_thread_of_synchronous_code(any_store, calls):
    found = []

    def receiver(**kwargs):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        found.append(Session.objects.exists())

    async def asynchronous(**kwargs):
        found.append(await Session.objects.aexists())

    for each in (receiver, asynchronous):
        session_started.connect(each)
    try:
        calls.start(oidc=ALICE)
    finally:
        for each in (receiver, asynchronous):
            assert session_started.disconnect(each)
    assert len(found) == 2


# Ends


def test_sign_in_at_the_same_session_of_the_provider_replaces(any_store, calls, heard):
    calls.start(oidc=ALICE)
    calls.start(oidc=ALICE)
    assert heard == [
        ("start", "alice"),
        (EndReason.REPLACED, "alice", THE_SUBJECT),
        ("start", "alice"),
    ]


def test_sign_in_above_the_limit_ends_the_oldest(settings, heard):
    settings.BFF_SESSIONS = {"MAX_SESSIONS_PER_SUBJECT": 1}
    for number in range(2):
        session = SessionStore()
        session["oidc"] = {**ALICE, "sid": f"s{number}"}
        session.save()
    assert heard[1:] == [("start", "alice"), (EndReason.TOO_MANY, "alice", THE_SUBJECT)]


@pytest.mark.parametrize("signs_out", [True, False])
def test_flush_ends_the_session(any_store, calls, heard, signs_out):
    session = calls.start(oidc=ALICE)
    session.signs_out = signs_out
    calls.flush(session)
    calls.flush(session)
    end = (EndReason.SIGNED_OUT, THE_SUBJECT) if signs_out else (EndReason.CODE, None)
    assert heard[1:] == [(end[0], "alice", end[1])]


def test_flush_of_a_session_that_was_not_loaded_ends_it(any_store, calls, heard):
    session = calls.start(oidc=ALICE)
    other = SessionStore(session.session_key)
    calls.flush(other)
    assert heard[1:] == [(EndReason.CODE, "alice", None)]


def test_delete_by_another_session_ends_it(any_store, calls, heard):
    session = calls.start(oidc=ALICE)
    calls.delete(SessionStore(), session.session_key)
    assert heard[1:] == [(EndReason.CODE, "alice", None)]


def test_anonymous_session_has_no_start_and_no_end(any_store, calls, heard):
    calls.flush(calls.start(cart=[1]))
    assert revoke_session(calls.start(cart=[1]).store_key)
    assert heard == []


def test_new_password_ends_the_other_sessions(heard):
    user, browser = UserFactory(), Client()
    browser.force_login(user)
    user.set_password("new")
    user.save()
    browser.get("/admin/")
    assert heard == [("start", str(user.pk)), (EndReason.SECURITY_EVENT, str(user.pk), None)]


def test_revocation_has_its_reason_and_actor(any_store, calls, heard):
    calls.start(oidc=ALICE)
    actor = Actor.of_provider("https://idp.example")
    assert revoke_sessions(ALICES, reason=EndReason.USER_DEACTIVATED, actor=actor) == 1
    assert revoke_sessions(ALICES, reason=EndReason.OPERATOR) == 0
    assert heard[1:] == [(EndReason.USER_DEACTIVATED, "alice", actor)]


def test_rolled_back_revocation_is_not_announced(heard):
    SessionFactory()
    with transaction.atomic():
        assert revoke_sessions(ALICES) == 1
        transaction.set_rollback(True)
    assert heard == []
    assert revoke_sessions(ALICES) == 1
    assert heard == [(EndReason.CODE, "alice", None)]


# Clean-up


@pytest.mark.parametrize("way", [clean_up, SessionStore.clear_expired])
def test_clean_up_announces_expired_sessions(way, heard):
    SessionFactory(expired=True)
    SessionFactory(expired=True, anonymous=True)
    SessionFactory()
    way()
    way()
    assert heard == [(EndReason.EXPIRED, "alice", None)]


def test_clean_up_announces_the_absolute_lifetime(settings, heard):
    settings.BFF_SESSIONS = {"ABSOLUTE_LIFETIME": timedelta(hours=1)}
    SessionFactory(created=ago(hours=2), expires=ago(hours=1))
    clean_up()
    assert heard == [(EndReason.ABSOLUTE_LIFETIME, "alice", None)]


def test_store_that_forgets_expired_sessions_announces_none(any_store, calls, heard):
    session = calls.start(oidc=ALICE)
    store = get_store()
    store.touch_user_session(session.store_key, renewed=ago(hours=2), expires=ago(hours=1))
    clean_up()
    announces = store.get_ability(UserSessionStoreCleanup) is not None
    assert heard[1:] == [(EndReason.EXPIRED, "alice", None)] * announces


# Requests


def sign_in(request):
    login(request, UserFactory())
    return HttpResponse()


def sign_out(request):
    logout(request)
    return HttpResponse()


urlpatterns = [path("sign-in/", sign_in), path("sign-out/", sign_out)]


@contextmanager
def requests_of(*signals):
    found = []

    def receive(request, **kwargs):
        found.append(None if request is None else request.path)

    for signal in signals:
        signal.connect(receive)
    yield found
    for signal in signals:
        assert signal.disconnect(receive)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("client_class", [Client, AsyncClient])
def test_signals_have_the_request(client_class):
    browser = Browser(client_class())
    with requests_of(session_started, sessions_ended) as found:
        for url in ("/sign-in/", "/sign-out/", "/sign-in/"):
            assert browser.request("get", url).status_code == 200
        assert found == ["/sign-in/", "/sign-out/", "/sign-in/"]
        # The thread lives on after the response.
        revoke_sessions(UserSessionsFilter(user_id=Session.objects.get().user_id))
        assert found[3:] == [None]
