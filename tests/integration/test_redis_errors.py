"""Servers of Redis that are away, stand still, are full, or hold what is no session."""

import asyncio
import gc
import logging
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.test import override_settings

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.exceptions import SessionMissing, StoreUnavailable
from bff_sessions.stores.redis import RedisUserSessionStore
from bff_sessions.testing import make_session
from bff_sessions.testing.harness import Twins
from tests.support.loops import background_loop, in_loop

pytestmark = pytest.mark.processes
redis = pytest.importorskip("redis")

from tests.support.redis_proxy import Proxy  # noqa: E402

ALICE = UserSessionsFilter(subject_id="alice")
TIMEOUT = 0.4


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def make_store(request, redis_server):
    def make():
        options = {"URL": redis_server.url, "TIMEOUT": TIMEOUT}
        settings = {"REDIS": options, "TOKEN_REVOCATION": {"EXPIRED_SESSIONS": True}}
        with override_settings(BFF_SESSIONS=settings):
            store = RedisUserSessionStore()
        return Twins(store, in_loop(loop)) if request.param else store

    with background_loop() as loop:
        yield make
    redis_server.heal()


def ignore(batch):
    """An `on_ending` that does nothing."""


def calls(store, session):
    """Return all verbs that ask the server, as functions that call them."""
    now, key = datetime.now(UTC), session.key
    moved = make_session(ticket=session.ticket)
    arguments = {
        "get_user_session": ([key], {}),
        "create_user_session": ([moved], {}),
        "update_user_session": ([key, UserSessionUpdate.of(session)], {}),
        "overwrite_user_session": ([session, session], {}),
        "rekey_user_session": ([key, moved], {"if_version": 1}),
        "touch_user_session": ([key], {"renewed": now, "expires": now + timedelta(days=9)}),
        "note_device": ([key], {"seen": now}),
        "acquire_lease": ([key, "one", 60], {}),
        "release_lease": ([key, "one"], {}),
        "delete_user_session": ([key], {}),
        "delete_user_sessions": ([ALICE], {"on_ending": ignore}),
        "get_user_sessions": ([ALICE], {}),
        "query_user_sessions": ([ALICE], {}),
        "delete_expired_sessions": ([], {}),
    }
    return {
        name: partial(getattr(store, name), *given, **named)
        for name, (given, named) in arguments.items()
    }


def call_all(store, session):
    """Call all verbs. Return what each of them raised or returned, and its seconds."""
    outcomes = {}
    for name, call in calls(store, session).items():
        started = time.monotonic()
        try:
            result = call()
        except Exception as error:
            result = error
        outcomes[name] = result, time.monotonic() - started
    return outcomes


def text_of(error):
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.args)


@pytest.mark.parametrize("trouble", ["kill", "pause"])
def test_every_verb_says_that_the_server_is_away(make_store, redis_server, trouble, caplog):
    caplog.set_level(logging.DEBUG)
    store, session = make_store(), make_session(ticket=b"the secret ticket")
    store.create_user_session(session)
    getattr(redis_server, trouble)()
    for name, (error, seconds) in call_all(store, session).items():
        assert isinstance(error, StoreUnavailable), name
        assert seconds < 2 * TIMEOUT, name
        check_text(error, session)
    assert session.key not in caplog.text
    redis_server.heal()
    if trouble == "kill":  # It has lost everything.
        store.create_user_session(session)
    outcomes = call_all(store, session)
    assert not [name for name, (one, _) in outcomes.items() if isinstance(one, StoreUnavailable)]


def check_text(error, session):
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error.args)
    for secret in (session.key, session.ticket.decode(), session.subject_id):
        assert secret not in text


def test_full_server_refuses_writes_and_ends_sessions(make_store, redis_server):
    store, session = make_store(), make_session(ticket=b"the secret ticket")
    store.create_user_session(session)
    redis_server.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        for name in ("create_user_session", "update_user_session", "rekey_user_session"):
            with pytest.raises(StoreUnavailable) as caught:
                calls(store, session)[name]()
            check_text(caught.value, session)
            assert store.get_user_session(session.key) == session
        [deleted] = store.delete_user_sessions(ALICE, on_ending=ignore)
        assert deleted.key == session.key
        assert store.get_user_session(session.key) is None
    finally:
        redis_server.ask("CONFIG", "SET", "maxmemory", 0)


GARBAGE = {
    "empty_fields": ["version", "", "partition", "", "head", "", "times", ""],
    "fields_missing": ["version", "1 x", "head", "[]"],
    "no_json": ["version", "1 x", "partition", "p", "head", "{{", "times", "1 - 9"],
    "other_json": ["version", "1 x", "partition", "p", "head", "[1]", "times", "1 - 9"],
    "no_times": ["version", "1 x", "partition", "p", "head", "[]", "times", "x y z"],
    "only_closed": ["closed", "x"],
    "only_head": ["head", "[]"],
    "only_moved": ["moved", "x"],
    "deep_json": ["version", "1 x", "partition", "p", "head", "[" * 100_000, "times", "1 - 9"],
    "no_text": ["version", "1 x", "partition", "\udcff", "head", "[]", "times", "1 - 9"],
    "times_missing": ["version", "1 x", "partition", "p", "head", "[]", "lease", "one x"],
}
READS = ("get_user_session", "get_user_sessions", "query_user_sessions")


@pytest.mark.parametrize("fields", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_session_cannot_be_read_and_ends_with_others(make_store, redis_server, fields):
    store, session, other = make_store(), make_session(ticket=b"secret"), make_session()
    for name in calls(store, session):
        for each in (session, other):
            store.create_user_session(each)
        redis_name = f"bff_sessions:session:{session.key}"
        redis_server.ask("DEL", redis_name)
        redis_server.ask("HSET", redis_name, *fields)
        try:
            calls(store, session)[name]()
        except SessionMissing as error:
            assert name not in READS
            check_text(error, session)
        if name in READS:
            assert store.get_user_session(session.key) is None
            assert [one.key for one in store.get_user_sessions(ALICE)] == [other.key]
        store.delete_user_sessions(ALICE)
        for each in (session, other):
            assert store.get_user_session(each.key) is None
        assert {"version", "head"}.isdisjoint(redis_server.ask("HKEYS", redis_name))
        redis_server.empty()


def repairs(store):
    """Return the store itself: the verbs that only commands call have no twins."""
    return store._store if isinstance(store, Twins) else store


OTHER_TYPES = ["SET", "RPUSH", "SADD"]


@pytest.mark.parametrize("command", OTHER_TYPES)
def test_other_type_is_no_session_and_ends_with_others(make_store, redis_server, command, caplog):
    store, session, other = make_store(), make_session(ticket=b"secret"), make_session()
    redis_name = f"bff_sessions:session:{session.key}"
    for name in calls(store, session):
        for each in (session, other):
            store.create_user_session(each)
        redis_server.ask("DEL", redis_name)
        redis_server.ask(command, redis_name, "garbage")
        with suppress(SessionMissing):
            assert calls(store, session)[name]() in (None, False) or "session" in name
        assert store.get_user_session(session.key) is None
        store.delete_user_sessions(ALICE)
        assert store.get_user_session(other.key) is None
        assert redis_server.ask("HKEYS", redis_name) == ["tombstone"]
        redis_server.empty()
    assert "has a name of the store in Redis (session)" in caplog.text
    assert "garbage" not in caplog.text
    assert session.key not in caplog.text


@pytest.mark.parametrize("command", OTHER_TYPES)
@pytest.mark.parametrize("kind", ["subject", "sid", "user", "expiring", "closed"])
def test_other_type_is_no_set_of_hints_until_one_is_written(
    make_store, redis_server, kind, command, caplog
):
    store, session = make_store(), make_session()
    for name in calls(store, session):
        store.create_user_session(session)
        sets = redis_server.ask("KEYS", f"bff_sessions:{kind}:*")
        if kind == "closed":
            sets = [f"bff_sessions:closed:{number:02}" for number in range(64)]
        for each in sets:
            redis_server.ask("DEL", each)
            redis_server.ask(command, each, "garbage")
        calls(store, session)[name]()
        repairs(store).reindex_sessions()
        by_user = UserSessionsFilter(user_id="42", subject_id="alice")
        for filter in (UserSessionsFilter.of_session(session), by_user, ALICE):
            store.delete_user_sessions(filter, on_ending=ignore)
            assert store.get_user_session(session.key) is None
        assert store.get_user_sessions(ALICE) == []
        redis_server.empty()
    if kind != "closed":
        assert "name of the store in Redis" in caplog.text
    assert "garbage" not in caplog.text
    assert session.key not in caplog.text


def test_set_of_another_type_hides_no_session_that_another_set_names(make_store, redis_server):
    store, session = make_store(), make_session()
    store.create_user_session(session)
    [name] = redis_server.ask("KEYS", "bff_sessions:subject:*")
    redis_server.ask("SET", name, "garbage")
    filter = UserSessionsFilter(subject_id="alice", session_id=session.session_id)
    assert [one.key for one in store.delete_user_sessions(filter)] == [session.key]


def test_member_that_is_no_hint_hides_no_session(make_store, redis_server):
    store, session = make_store(), make_session()
    store.create_user_session(session)
    client = redis.Redis(port=redis_server.port)
    for kind in ("subject", "sid", "user", "expiring", "closed"):
        for name in redis_server.ask("KEYS", f"bff_sessions:{kind}:*"):
            client.zadd(name, {b"": 1, b"short": 2, b"-" * 16 + b"t\xff\xfe": 3})
    client.close()
    assert [one.key for one in store.get_user_sessions(ALICE)] == [session.key]
    store.delete_expired_sessions()
    repairs(store).finish_deletes(None)
    assert [one.key for one in store.delete_user_sessions(ALICE)] == [session.key]


def do_everything(store):
    """Call each verb that writes. Return what they have returned and left."""
    session = make_session(ticket=b"1", last_seen=None)
    moved = make_session(ticket=b"3", sign_in_id=session.sign_in_id)
    now = session.renewed + timedelta(seconds=1)
    announced = []
    results = [
        store.create_user_session(session),
        store.update_user_session(session.key, replace_ticket(session, b"2"), if_version=1),
        store.acquire_lease(session.key, "one", 60),
        store.acquire_lease(session.key, "other", 60),
        store.rekey_user_session(session.key, moved, if_version=2),
        store.touch_user_session(moved.key, renewed=now, expires=None),
        store.get_user_session(session.key),
        store.get_user_session(moved.key) == replace(moved, version=3, renewed=now, expires=None),
        [one.key == moved.key for one in store.get_user_sessions(ALICE)],
        [one.ticket for one in store.delete_user_sessions(ALICE, on_ending=announced.extend)],
        [one.ticket for one in announced],
        store.get_user_sessions(ALICE),
        store.delete_user_session(moved.key),
    ]
    return results


def replace_ticket(session, ticket):
    return UserSessionUpdate.of(replace(session, ticket=ticket))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_command_whose_answer_is_lost_is_repeated_without_harm(redis_server, is_async):
    options = {"CLIENT": "tests.support.redis_proxy.connect"}
    with (
        override_settings(BFF_SESSIONS={"REDIS": options}),
        Proxy(redis_server) as proxy,
        background_loop() as loop,
    ):
        store = RedisUserSessionStore()
        caller = Twins(store, in_loop(loop)) if is_async else store
        do_everything(caller)  # It connects.
        proxy.lose(None)
        expected, number = do_everything(caller), proxy.answers
        assert number > 20
        for each in range(number):
            redis_server.empty()
            proxy.lose(each)
            assert do_everything(caller) == expected, f"lost answer {each}"
            assert proxy.lost == 1
        store._link._clients.get().close()


@pytest.mark.parametrize("place", ["redis_server", "redis_cluster", "redis_sentinels"])
def test_each_event_loop_closes_its_connections(request, place):
    servers = request.getfixturevalue(place)
    options = {
        "redis_server": lambda: {"URL": servers.url},
        "redis_cluster": lambda: {"URL": servers.url, "CLUSTER": True},
        "redis_sentinels": lambda: {
            "URL": [one.url for one in servers.sentinels],
            "SENTINEL": servers.name,
        },
    }[place]()
    with override_settings(BFF_SESSIONS={"REDIS": options}):
        store = RedisUserSessionStore()
    for _ in range(3):
        session = make_session()
        asyncio.run(store.acreate_user_session(session))
        assert asyncio.run(store.aget_user_session(session.key)) == session
    gc.collect()  # A connection that is open warns.
