from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser

from bff_sessions import events
from bff_sessions.contract import Actor, ActorKind, DeletedSession, EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.events import (
    EXPIRED,
    Cause,
    hook_for,
    hook_for_sign_in,
    subscribe,
    subscribe_to_sign_ins,
)
from bff_sessions.exceptions import SessionMissing
from bff_sessions.revocation import arevoke_sessions, revoke_session, revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from tests.support.stores import MINIMAL

NOW = datetime.now(UTC)
BY_CODE = Cause(EndReason.CODE)


def ended_by_code(session):
    return replace(DeletedSession.of(session), reason=EndReason.CODE)


@pytest.fixture(autouse=True)
def no_subscribers(monkeypatch):
    monkeypatch.setattr(events, "_subscribers", [])
    monkeypatch.setattr(events, "_start_subscribers", [])
    monkeypatch.setattr(events, "_sign_in_subscribers", [])


def test_no_hook_where_no_subscriber_needs_sessions():
    assert hook_for(BY_CODE) is None
    subscribe(lambda reason: None)
    assert hook_for(BY_CODE) is None


def test_subscriber_says_which_reasons_it_needs():
    subscribe(lambda reason: print if reason is EndReason.EXPIRED else None)
    assert hook_for(BY_CODE) is None
    assert hook_for(EXPIRED) is not None


def test_hook_calls_every_subscriber_with_the_batch():
    one, two = [], []
    for told in (one, two):
        subscribe(lambda reason, told=told: told.append)
    session = make_session()
    hook_for(BY_CODE)([DeletedSession.of(session)])
    assert one == two == [[ended_by_code(session)]]


def test_hook_gets_a_session_once_that_stands_under_both_keys_of_a_move():
    session, other = make_session(), make_session()
    moved = replace(session, key=other.key + "0")
    told = []
    subscribe(lambda reason: told.append)
    hook_for(BY_CODE)([DeletedSession.of(each) for each in (session, other, moved)])
    assert told == [[ended_by_code(moved), ended_by_code(other)]]


def test_revocation_during_a_default_move_is_announced_once(settings, monkeypatch):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    store, told = get_store(), []
    subscribe(lambda reason: told.extend)
    session, moved = make_session(), make_session()
    store.create_user_session(session)
    delete = store.delete_user_session

    def revoke_first(key):
        store.delete_user_session = delete
        revoke_sessions(UserSessionsFilter(subject_id="alice"))
        return delete(key)

    monkeypatch.setattr(store, "delete_user_session", revoke_first)
    moved = replace(moved, sign_in_id=session.sign_in_id)
    with pytest.raises(SessionMissing):
        store.rekey_user_session(session.key, moved, if_version=1)
    assert [ended.sign_in_id for ended in told] == [session.sign_in_id]


TIMES = {"auth_time": 1_700_000_000, "iat": 1_700_000_001}
ALICE = {"iss": "https://idp.example", "sub": "alice", "sid": "s1", **TIMES}


def test_sign_in_is_announced_once_it_is_saved(any_store, calls):
    seen = []

    def find(session, auth_time, issued_at):
        if auth_time is None:
            return None
        times = (auth_time, issued_at)
        return lambda: seen.append((session.subject_id, times, is_saved(session)))

    def is_saved(session):
        return get_store().get_user_session(session.key) is not None

    subscribe_to_sign_ins(find)
    subscribe_to_sign_ins(find)
    session = calls.start(a=1)
    assert seen == []
    calls.set(session, "oidc", ALICE)
    calls.save(session)
    calls.set(session, "a", 2)
    calls.save(session)
    assert seen == [("alice", (1_700_000_000, 1_700_000_001), True)]


def test_subscriber_may_end_the_session_that_signs_in(any_store, calls):
    def find(session, auth_time, issued_at):
        return lambda: revoke_sessions(UserSessionsFilter.of_session(session))

    subscribe_to_sign_ins(find)
    session = calls.start(oidc=ALICE)
    assert SessionStore(session.session_key).get("oidc") is None


def test_no_subscriber_needs_a_sign_in():
    subscribe_to_sign_ins(lambda *args: None)
    assert hook_for_sign_in(make_session(), None, None) is None


def test_subscribing_twice_calls_once():
    told = []

    def find(reason):
        return told.append

    subscribe(find)
    subscribe(find)
    hook_for(BY_CODE)([])
    assert told == [[]]


def test_own_end_reaches_only_who_asks_for_it():
    subscribe(lambda reason: print)
    assert hook_for(BY_CODE, is_own=True) is None
    subscribe(lambda reason: print, to_own=True)
    assert hook_for(BY_CODE, is_own=True) is not None


# Causes


@pytest.mark.parametrize("reason", ["operator", None, EndReason])
def test_unknown_reason_is_an_error_at_the_call(reason):
    alices = UserSessionsFilter(subject_id="alice")
    with pytest.raises(TypeError, match="reason must be an EndReason"):
        revoke_sessions(alices, reason=reason)
    with pytest.raises(TypeError, match="reason must be an EndReason"):
        revoke_session("0" * 64, reason=reason)
    with pytest.raises(TypeError, match="reason must be an EndReason"):
        async_to_sync(arevoke_sessions)(alices, reason=reason)


def test_actor_must_be_an_actor():
    with pytest.raises(TypeError, match="actor must be an Actor"):
        revoke_sessions(UserSessionsFilter(subject_id="alice"), actor="alice")


def test_values_of_reasons_never_change():
    assert [reason.value for reason in EndReason] == [
        "signed_out",
        "other_browser",
        "operator",
        "code",
        "provider",
        "replaced",
        "too_many",
        "absolute_lifetime",
        "expired",
        "refresh_refused",
        "user_deactivated",
        "security_event",
    ]


@pytest.mark.parametrize(
    ("expires", "reason"),
    [
        (NOW - timedelta(hours=1), EndReason.EXPIRED),
        (NOW - timedelta(minutes=1), EndReason.ABSOLUTE_LIFETIME),
        (NOW + timedelta(days=1), EndReason.ABSOLUTE_LIFETIME),
        (None, EndReason.ABSOLUTE_LIFETIME),
    ],
)
@pytest.mark.parametrize("cause", [EXPIRED, Cause(EndReason.OPERATOR, Actor.of_provider("idp"))])
def test_session_that_is_not_live_ends_by_its_lifetime(settings, expires, reason, cause):
    settings.BFF_SESSIONS = {"ABSOLUTE_LIFETIME": timedelta(hours=8)}
    created = NOW - timedelta(hours=8, minutes=1)
    session = DeletedSession.of(make_session(created=created, expires=expires))
    (stamped,) = cause.stamp([session])
    assert (stamped.reason, stamped.actor) == (reason, None)


def test_session_expires_without_an_absolute_lifetime():
    session = DeletedSession.of(make_session(expires=NOW - timedelta(hours=1)))
    (stamped,) = EXPIRED.stamp([session])
    assert stamped.reason is EndReason.EXPIRED


def test_actor_of_a_session_is_its_user():
    session = make_session(subject_id="alice", user_id="7")
    assert Actor.of_session(session) == Actor(ActorKind.USER, "7")
    assert Actor.of_session(replace(session, user_id=None)) == Actor(ActorKind.SUBJECT, "alice")
    assert Actor.of_session(replace(session, user_id=None, subject_id=None)) is None


def test_user_without_a_primary_key_is_not_an_actor():
    with pytest.raises(ValueError, match="primary key"):
        Actor.of_user(AnonymousUser())


@pytest.mark.parametrize("arguments", [("user", "7"), (ActorKind.USER, 7), (ActorKind.USER, None)])
def test_actor_has_a_kind_and_a_text(arguments):
    with pytest.raises(TypeError):
        Actor(*arguments)
