"""Races that other session stores in Redis have lost, on this one."""

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.exceptions import SessionMissing
from bff_sessions.sansio import run
from bff_sessions.stores.redis import RedisUserSessionStore, hints
from bff_sessions.testing import make_session

pytestmark = pytest.mark.processes
pytest.importorskip("redis")

ALICE = UserSessionsFilter(subject_id="alice")
NOW = datetime.now(UTC)


@pytest.fixture
def store(redis_server, settings):
    settings.BFF_SESSIONS = {"REDIS": {"URL": redis_server.url}}
    return RedisUserSessionStore()


@pytest.fixture
def millis_left(redis_server):
    """Milliseconds until the server deletes a session; None for never, -2 if it has."""

    def ask(session):
        left = int(redis_server.ask("PTTL", f"bff_sessions:session:{session.key}"))
        return None if left == -1 else left

    return ask


WRITES = {
    "creation": lambda store, one: store.create_user_session(one),
    "save": lambda store, one: store.update_user_session(one.key, UserSessionUpdate.of(one)),
    "conditional save": lambda store, one: store.overwrite_user_session(one, one),
    "move": lambda store, one: store.rekey_user_session(one.key, make_session(), if_version=1),
    "renewal": lambda store, one: store.touch_user_session(one.key, renewed=NOW, expires=None),
    "device": lambda store, one: store.note_device(one.key, seen=NOW),
    "lease": lambda store, one: store.acquire_lease(one.key, "one", 60),
    "release": lambda store, one: store.release_lease(one.key, "one"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("on_ending", [None, len], ids=["", "with on_ending"])
def test_request_in_flight_creates_no_session_that_has_ended(store, write, on_ending):
    session = make_session()
    store.create_user_session(session)
    [deleted] = store.delete_user_sessions(ALICE, on_ending=on_ending)
    assert deleted.key == session.key
    with suppress(SessionMissing):
        assert WRITES[write](store, session) is False
    assert store.get_user_session(session.key) is None
    assert store.get_user_sessions(ALICE) == []


def test_hint_that_is_written_after_the_end_finds_nothing(store, redis_server):
    session = make_session()
    store.create_user_session(session)
    store.delete_user_sessions(ALICE)
    link = store._link
    run(link.send(hints.to_write(link, session.key, session.partition, session)))
    assert run(hints.find(link, ALICE)) != {}
    assert store.get_user_sessions(ALICE) == []
    assert store.delete_user_sessions(ALICE) == []
    [name] = redis_server.ask("KEYS", "bff_sessions:subject:*")
    # It passes, at the latest two days after the session would have expired.
    assert 0 < int(redis_server.ask("TTL", name)) <= 2 * 86_400 + 3600


ENDS = {
    "year 1": datetime.min.replace(tzinfo=UTC),
    "1970": datetime.fromtimestamp(0, UTC),
    "after 1970": datetime.fromtimestamp(0.0004, UTC),
    "past": NOW - timedelta(hours=1),
    "just past": NOW - timedelta(microseconds=1),
}


@pytest.mark.parametrize("expires", ENDS.values(), ids=ENDS)
def test_expiry_in_the_past_never_means_for_ever(store, millis_left, expires):
    created = make_session(expires=expires)
    store.create_user_session(created)
    for write in ("save", "renewal", "move"):
        session = make_session()
        store.create_user_session(session)
        past = replace(session, expires=expires)
        if write == "save":
            store.update_user_session(session.key, UserSessionUpdate.of(past))
        elif write == "renewal":
            store.touch_user_session(session.key, renewed=NOW, expires=expires)
        else:
            past = replace(past, key=make_session().key)
            store.rekey_user_session(session.key, past, if_version=1)
        for one in (created, session, past):
            assert millis_left(one) == -2, write
            assert store.get_user_session(one.key) is None
    assert store.get_user_sessions(ALICE) == []


def test_session_for_ever_and_back(store, millis_left):
    session = make_session(expires=None)
    store.create_user_session(session)
    assert millis_left(session) is None
    for expires in (NOW + timedelta(hours=1), None, NOW + timedelta(hours=2)):
        for write in ("save", "renewal"):
            if write == "save":
                update = UserSessionUpdate.of(replace(session, expires=expires))
                store.update_user_session(session.key, update)
            else:
                store.touch_user_session(session.key, renewed=NOW, expires=expires)
            left = millis_left(session)
            if expires is None:
                assert left is None
            else:
                assert 0 < left <= (expires - NOW).total_seconds() * 1000
            assert len(store.get_user_sessions(ALICE)) == 1
    [_] = store.delete_user_sessions(ALICE)
    assert 0 < millis_left(session) <= 300_000


@pytest.mark.race
def test_two_revocations_during_sign_ins_end_each_session_once(store):
    signed_in, ended, failed = [], [], []

    def sign_in():
        for _ in range(100):
            session = make_session()
            try:
                store.create_user_session(session)
            except SessionMissing:
                continue
            signed_in.append(session.key)

    def revoke():
        try:
            while any(thread.is_alive() for thread in threads[:2]):
                ended.extend(one.key for one in store.delete_user_sessions(ALICE, on_ending=len))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=target) for target in (sign_in, sign_in, revoke, revoke)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended += [one.key for one in store.delete_user_sessions(ALICE)]
    assert not failed
    assert len(signed_in) > 10
    assert sorted(set(ended) & set(signed_in)) == sorted(signed_in)
    assert len(ended) == len(set(ended))
    assert store.get_user_sessions(ALICE) == []
