"""What the history holds after starts and ends, and what it costs."""

import pytest
from django.contrib.auth import login, logout
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from bff_sessions.contract import Actor, EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.history import recording
from bff_sessions.history.models import Event
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_session, revoke_sessions
from bff_sessions.stores import get_store
from tests.support.factories import SessionFactory, UserFactory
from tests.support.stores import CACHED, ORM

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("history")]

ALICE = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
ALICES = UserSessionsFilter(subject_id="alice")


def events():
    """Events in their order, without the time."""
    return [
        (event.what, event.reason, event.subject_id, event.actor_kind, event.actor_id)
        for event in Event.objects.order_by("id")
    ]


STARTED = ("started", None, "alice", None, None)


def ended(reason, kind=None, actor_id=None):
    return ("ended", reason, "alice", kind, actor_id)


def test_each_start_and_end_has_one_event(any_store, calls):
    session = calls.start(oidc=ALICE)
    calls.set(session, "cart", [1])
    calls.save(session)
    calls.cycle_key(session)
    session.signs_out = True
    calls.flush(session)
    calls.flush(session)
    assert events() == [STARTED, ended("signed_out", "subject", "alice")]
    first, last = Event.objects.order_by("id")
    assert first.public_id == last.public_id
    assert (first.issuer, first.partition) == ("https://idp.example", "default")


def test_identity_that_signs_in_over_another_ends_it(any_store, calls):
    session = calls.start(oidc=ALICE)
    calls.set(session, "oidc", {**ALICE, "sub": "bob"})
    calls.save(session)
    assert events() == [
        STARTED,
        ended("replaced", "subject", "bob"),
        ("started", None, "bob", None, None),
    ]


def test_revocation_is_recorded_with_its_actor(any_store, calls):
    calls.start(oidc=ALICE)
    operator = Actor.of_user(UserFactory())
    revoke_sessions(ALICES, reason=EndReason.OPERATOR, actor=operator)
    assert events() == [STARTED, ended("operator", "user", operator.id)]


def test_clean_up_is_recorded(any_store):
    SessionFactory(expired=True)
    SessionFactory(expired=True, anonymous=True)
    call_command("cleanup_sessions", verbosity=0, sleep=0)
    assert events() == ([ended("expired")] if not Session.objects.exists() else [])


def test_anonymous_session_leaves_no_event(any_store, calls):
    calls.flush(calls.start(cart=[1]))
    assert revoke_session(calls.start(cart=[1]).store_key)
    assert events() == []


@pytest.mark.parametrize("store", [ORM, CACHED])
def test_rollback_undoes_events(settings, store):
    settings.BFF_SESSIONS = {"STORE": store}
    SessionFactory()
    with transaction.atomic():
        session = SessionStore()
        session["oidc"] = ALICE
        session.save()
        revoke_sessions(ALICES)
        assert len(events()) == 3
        transaction.set_rollback(True)
    assert events() == []


def test_event_holds_no_secret(calls):
    session = calls.start(oidc=ALICE)
    row = Session.objects.get()
    calls.flush(session)
    secrets = {row.key, row.sign_in_id, session.session_key, bytes(row.ticket).hex()}
    for event in Event.objects.values():
        assert not secrets & {str(value) for value in event.values()}


# Devices


def sign_in(request):
    login(request, UserFactory())
    return HttpResponse()


def sign_out(request):
    logout(request)
    return HttpResponse()


urlpatterns = [path("sign-in/", sign_in), path("sign-out/", sign_out)]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("device", [None, {"USER_AGENT": True, "ADDRESS": "truncated"}])
def test_event_has_the_device_as_far_as_it_may_be_stored(settings, device):
    settings.BFF_SESSIONS = {"DEVICE": device}
    browser = Client(headers={"User-Agent": "Firefox"}, REMOTE_ADDR="192.0.2.7")
    browser.get("/sign-in/")
    browser.get("/sign-out/")
    stored = (None, None) if device is None else ("Firefox", "192.0.2.0/24")
    assert [*Event.objects.values_list("user_agent", "address")] == [stored, stored]


# Faults


@pytest.fixture
def broken_table(monkeypatch):
    def fail(*args, **kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SELECT a_secret FROM no_such_table")

    monkeypatch.setattr(type(Event._base_manager.all()), "bulk_create", fail)


def test_fault_keeps_no_user_from_signing_in_or_out(any_store, calls, broken_table, caplog):
    session = calls.start(oidc=ALICE)
    assert [one.subject_id for one in get_store().get_user_sessions(ALICES)] == ["alice"]
    calls.flush(session)
    assert get_store().get_user_sessions(ALICES) == []
    messages = [r.getMessage() for r in caplog.records if r.name == "bff_sessions.history"]
    assert len(messages) == 2
    assert "a_secret" not in "".join(messages)


def test_deadlock_repeats_the_whole_transaction(monkeypatch):
    add, faults = recording._to_rows, iter([True, False, True, False])

    def deadlock(*args):
        if next(faults):
            raise transient()
        return add(*args)

    monkeypatch.setattr(recording, "_to_rows", deadlock)
    monkeypatch.setattr("bff_sessions.stores.databases.containing.is_rolled_back", is_ours)
    monkeypatch.setattr("bff_sessions.stores.databases.retrying.is_rolled_back", is_ours)
    session = SessionStore()
    session["oidc"] = ALICE
    session.save()
    revoke_sessions(ALICES)
    assert events() == [STARTED, ended("code")]
    assert not Session.objects.exists()


def transient():
    return DatabaseError("deadlock detected")


def is_ours(error):
    return "deadlock" in str(error)
