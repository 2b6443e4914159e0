import pytest
from asgiref.sync import async_to_sync

from bff_sessions import events
from bff_sessions.contract import (
    DeletedSession,
    UserSessionsFilter,
    delete_session,
    delete_sessions,
)
from bff_sessions.engine import SessionStore
from bff_sessions.events import (
    Ending,
    hook_for,
    hook_for_sign_in,
    subscribe,
    subscribe_to_sign_ins,
)
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import make_session


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


class OlderStore(InMemoryUserSessionStore):
    """A store that was written before there was a hook."""

    def delete_user_session(self, key):
        return super().delete_user_session(key)

    def delete_user_sessions(self, filter):
        return super().delete_user_sessions(filter)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("has_hook", [False, True])
def test_store_without_the_hook_loses_no_session(is_async, has_hook):
    store, told = OlderStore(), []
    sessions = [make_session(session_id=sid) for sid in "abc"]
    for session in sessions:
        store.create_user_session(session)
    hook = told.extend if has_hook else None
    filter = UserSessionsFilter(session_id="b")
    if is_async:
        assert async_to_sync(store.adelete_user_session)(sessions[0].key, on_ending=hook)
        [deleted] = async_to_sync(store.adelete_user_sessions)(filter, on_ending=hook)
    else:
        assert delete_session(store, sessions[0].key, hook)
        [deleted] = delete_sessions(store, filter, hook)
    assert deleted.key == sessions[1].key
    assert [session.session_id for session in told] == (["a", "b"] if has_hook else [])
    assert store.get_user_session(sessions[2].key)
