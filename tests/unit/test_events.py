from dataclasses import replace

import pytest

from bff_sessions import events
from bff_sessions.contract import DeletedSession, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.events import (
    Ending,
    hook_for,
    hook_for_sign_in,
    subscribe,
    subscribe_to_sign_ins,
)
from bff_sessions.exceptions import SessionMissing
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from tests.support.stores import MINIMAL


@pytest.fixture(autouse=True)
def no_subscribers(monkeypatch):
    monkeypatch.setattr(events, "_subscribers", [])
    monkeypatch.setattr(events, "_sign_in_subscribers", [])


def test_no_hook_where_no_subscriber_needs_sessions():
    assert hook_for(Ending.REVOKED) is None
    subscribe(lambda ending: None)
    assert hook_for(Ending.REVOKED) is None


def test_subscriber_says_which_endings_it_needs():
    subscribe(lambda ending: print if ending is Ending.EXPIRED else None)
    assert hook_for(Ending.REVOKED) is None
    assert hook_for(Ending.EXPIRED) is not None


def test_hook_calls_every_subscriber_with_the_batch():
    one, two = [], []
    for told in (one, two):
        subscribe(lambda ending, told=told: told.append)
    batch = [DeletedSession.of(make_session())]
    hook_for(Ending.REVOKED)(batch)
    assert one == two == [batch]


def test_hook_gets_a_session_once_that_stands_under_both_keys_of_a_move():
    session, other = make_session(), make_session()
    moved = replace(session, key=other.key + "0")
    told = []
    subscribe(lambda ending: told.append)
    hook_for(Ending.REVOKED)([DeletedSession.of(each) for each in (session, other, moved)])
    assert told == [[DeletedSession.of(moved), DeletedSession.of(other)]]


def test_revocation_during_a_default_move_is_announced_once(settings, monkeypatch):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    store, told = get_store(), []
    subscribe(lambda ending: told.extend)
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


ALICE = {"iss": "https://idp.example", "sub": "alice", "sid": "s1", "auth_time": 1_700_000_000}


def test_sign_in_is_announced_once_it_is_saved(any_store, calls):
    seen = []

    def find(session, auth_time):
        if auth_time is None:
            return None
        return lambda: seen.append((session.subject_id, auth_time, is_saved(session)))

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
    assert seen == [("alice", 1_700_000_000, True)]


def test_subscriber_may_end_the_session_that_signs_in(any_store, calls):
    def find(session, auth_time):
        return lambda: revoke_sessions(UserSessionsFilter.of_session(session))

    subscribe_to_sign_ins(find)
    session = calls.start(oidc=ALICE)
    assert SessionStore(session.session_key).get("oidc") is None


def test_no_subscriber_needs_a_sign_in():
    subscribe_to_sign_ins(lambda session, auth_time: None)
    assert hook_for_sign_in(make_session(), None) is None


def test_subscribing_twice_calls_once():
    told = []

    def find(ending):
        return told.append

    subscribe(find)
    subscribe(find)
    hook_for(Ending.REVOKED)([])
    assert told == [[]]
