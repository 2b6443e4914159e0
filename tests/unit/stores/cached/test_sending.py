"""Django's Redis cache is told of a write while the database works."""

import logging
import os
from contextlib import contextmanager
from threading import Thread
from unittest import mock

import pytest
from django.core.cache import caches
from django.db import transaction

from bff_sessions._compat import django_redis_cache
from bff_sessions.exceptions import SessionChanged
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.cached.entries import entry_name, mark_name, tombstone_name
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.caches import is_warm, update_of
from tests.support.servers import HOST, wait_until

redis = pytest.importorskip("redis")

BACKEND = "django.core.cache.backends.redis.RedisCache"


def use(settings, port):
    options = {"socket_timeout": 0.3}
    location = f"redis://{HOST}:{port}/0"
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": location, "OPTIONS": options}}


@pytest.fixture
def server(redis_server, settings):
    use(settings, redis_server.port)
    return redis_server


@pytest.fixture
def proxy(server, settings):
    from tests.support.redis_proxy import Proxy

    with Proxy(server) as proxy:
        use(settings, os.environ["TEST_REDIS_PROXY"])
        yield proxy


@pytest.fixture
def inner():
    return InMemoryUserSessionStore()


@pytest.fixture
def ours(inner, server):
    return CachedUserSessionStore(inner)


@pytest.fixture
def theirs(inner, server):
    return CachedUserSessionStore(inner)


@pytest.fixture
def warm(ours, theirs):
    return make_warm(ours, theirs)


def make_warm(*stores):
    session = make_session()
    stores[0].create_user_session(session)
    for store in stores:
        store.get_user_session(session.key)
    wait_until(lambda: all(is_warm(store, session.key) for store in stores), "it is in the cache")
    return session


def value_of(server, name):
    return server.ask("GET", caches["default"].make_key(name))


def save(store, session, ticket=b"new"):
    store.update_user_session(session.key, update_of(session, ticket=ticket), if_version=1)


def end(store, session):
    assert store.delete_user_session(session.key)


@contextmanager
def around(inner, verb, *, before=None, after=None):
    """Call `before` and `after` the verb of the store."""
    original = getattr(inner, verb)

    def call(*args, **kwargs):
        if before is not None:
            before()
        result = original(*args, **kwargs)
        if after is not None:
            after()
        return result

    with mock.patch.object(inner, verb, call):
        yield


def errors(caplog):
    return [record for record in caplog.records if record.levelno == logging.ERROR]


def test_cache_is_told_before_the_statement(ours, inner, warm, server):
    seen = []

    def look(name):
        return lambda: wait_until(
            lambda: seen.append(value_of(server, name)) or seen[-1] is not None, "it is told"
        )

    with around(inner, "update_user_session", before=look(mark_name(warm.key))):
        save(ours, warm)
    assert seen[-1] == "0"
    assert int(value_of(server, mark_name(warm.key))) > 0
    with around(inner, "delete_user_session", before=look(tombstone_name(warm.key))):
        end(ours, warm)
    assert seen[-1] == "1"
    assert value_of(server, entry_name(warm.key)) is None


@pytest.mark.parametrize("verb", [save, end])
def test_write_waits_for_the_cache_once(ours, inner, warm, verb):
    steps = []
    send, read = django_redis_cache.Link.send, django_redis_cache.Sent.read

    def note(step, call):
        return lambda *args: (steps.append(step), call(*args))[1]

    with (
        mock.patch.object(django_redis_cache.Link, "send", note("send", send)),
        mock.patch.object(django_redis_cache.Sent, "read", note("read", read)),
        around(inner, "update_user_session", before=lambda: steps.append("statement")),
        around(inner, "delete_user_session", before=lambda: steps.append("statement")),
    ):
        verb(ours, warm)
    assert steps == ["send", "statement", "read"]


def test_host_that_dies_after_its_commit_has_closed_the_mark(ours, theirs, warm, inner):
    with (
        mock.patch.object(inner, "on_commit", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        save(ours, warm)
    assert theirs.get_user_session(warm.key).ticket == b"new"


@pytest.mark.parametrize("verb", [save, end])
def test_message_that_redis_executes_after_the_commit(ours, theirs, warm, inner, server, verb):
    name = "update_user_session" if verb is save else "delete_user_session"
    server.pause()
    try:
        with around(inner, name, after=server.resume):
            verb(ours, warm)
    finally:
        server.heal()
    found = theirs.get_user_session(warm.key)
    assert found is None if verb is end else found.ticket == b"new"


@pytest.mark.parametrize("verb", [save, end])
def test_paused_redis_is_waited_for_and_told_later(ours, theirs, warm, server, clock, caplog, verb):
    server.pause()
    try:
        verb(ours, warm)
        (error,) = errors(caplog)
        assert "could not be invalidated" in error.getMessage()
        found = ours.get_user_session(warm.key)  # This process knows.
        assert found is None if verb is end else found.ticket == b"new"
    finally:
        server.heal()
    clock.seconds = 2
    ours.get_user_session("0" * 64)
    found = theirs.get_user_session(warm.key)
    assert found is None if verb is end else found.ticket == b"new"


@pytest.mark.parametrize("verb", [save, end])
def test_lost_answer_is_asked_for_again(proxy, inner, server, caplog, verb):
    ours, theirs = CachedUserSessionStore(inner), CachedUserSessionStore(inner)
    session = make_warm(ours, theirs)
    proxy.lose(0)
    verb(ours, session)
    assert proxy.lost == 1
    assert not errors(caplog)
    found = theirs.get_user_session(session.key)
    assert found is None if verb is end else found.ticket == b"new"


def test_second_try_of_a_number_is_another_number(proxy, inner, server):
    ours = CachedUserSessionStore(inner)
    session = make_warm(ours)
    numbers = []
    setting = django_redis_cache.Link.setting

    def note(link, values, lifetime):
        numbers.extend(value for value in values.values() if isinstance(value, int) and value > 1)
        return setting(link, values, lifetime)

    proxy.lose(0)
    with mock.patch.object(django_redis_cache.Link, "setting", note):
        save(ours, session)
    assert len(set(numbers)) == 2
    assert value_of(server, mark_name(session.key)) == str(numbers[-1])


def test_connection_that_was_closed_before_is_not_used(ours, theirs, warm, server, caplog):
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    save(ours, warm)
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert theirs.get_user_session(warm.key).ticket == b"new"
    end(ours, warm)
    assert not caplog.records


def test_connection_that_closes_during_the_statement_is_replaced(
    ours, theirs, warm, inner, server, caplog
):
    def close():
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    with around(inner, "update_user_session", before=close):
        save(ours, warm)
    assert theirs.get_user_session(warm.key).ticket == b"new"
    with around(inner, "delete_user_session", before=close):
        end(ours, warm)
    assert theirs.get_user_session(warm.key) is None
    assert not errors(caplog)


def test_late_number_does_not_open_what_has_ended(ours, theirs, warm, inner):
    reports = []
    with mock.patch.object(inner, "on_commit", reports.append):
        save(theirs, warm)
    stale = inner.get_user_session(warm.key)
    end(ours, warm)
    for report in reports:
        report()
    with mock.patch.object(inner, "get_user_session", lambda key: stale):
        theirs.get_user_session(warm.key)  # A slow reader.
    assert ours.get_user_session(warm.key) is None
    assert theirs.get_user_session(warm.key) is None


def test_session_created_again_after_its_end_is_not_cached(ours, theirs, warm, server):
    end(ours, warm)
    ours.create_user_session(warm)
    assert theirs.get_user_session(warm.key) == warm
    save(ours, warm)
    assert theirs.get_user_session(warm.key).ticket == b"new"
    assert not is_warm(theirs, warm.key)
    assert value_of(server, entry_name(warm.key)) is None


def test_session_moves_to_a_key_that_had_ended(ours, theirs, warm):
    other = make_session()
    ours.create_user_session(other)
    end(ours, other)
    assert ours.rekey_user_session(warm.key, other, if_version=1) == 2
    assert theirs.get_user_session(other.key).version == 2
    assert theirs.get_user_session(warm.key) is None


def test_tombstone_of_a_long_write_is_written_again(ours, inner, warm, server, clock):
    def wait():
        clock.seconds = 2
        server.ask("FLUSHALL")

    with around(inner, "delete_user_session", after=wait):
        end(ours, warm)
    assert value_of(server, tombstone_name(warm.key)) == "1"


def test_conflict_costs_no_message(ours, theirs, warm, inner):
    # The other request has committed, and not told the cache yet.
    inner.update_user_session(warm.key, update_of(warm, ticket=b"other"), if_version=1)
    with mock.patch.object(django_redis_cache.Link, "get_many", side_effect=AssertionError):
        with pytest.raises(SessionChanged):
            save(ours, warm)
        assert ours.get_user_session(warm.key).ticket == b"other"
    found = ours.get_user_session(warm.key)
    ours.update_user_session(warm.key, update_of(found, ticket=b"third"), if_version=2)
    ours.get_user_session(warm.key)
    assert is_warm(ours, warm.key)  # Its own number ends the doubt.


def test_full_redis_is_an_error(ours, theirs, warm, server, caplog):
    server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        end(ours, warm)
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")
    assert "could not be invalidated for ended sessions (1)" in errors(caplog)[0].getMessage()
    assert "OutOfMemoryError" in caplog.text
    assert ours.get_user_session(warm.key) is None


def test_full_redis_does_not_disturb_readers(ours, server, caplog):
    session = make_session()
    ours.create_user_session(session)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        for _ in range(3):
            assert ours.get_user_session(session.key) == session
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")
    assert not caplog.records


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, bytes.decode, int])
def test_commands_are_packed_as_redis_py_does(make):
    connection = redis.Connection()
    command = ("SET", ":1:\xe4", make(b"7"), "EX", 60)
    expected = b"".join(map(bytes, connection.pack_commands([command, command])))
    assert django_redis_cache._pack([command, command]) == expected


def test_paused_redis_does_not_use_up_connections(ours, warm, server, clock):
    link = ours._reader._cache._link
    ours.create_user_session(other := make_session())
    ours.get_user_session(other.key)  # Nobody has read the answer of its fill.
    server.pause()
    try:
        for seconds in range(0, 6, 2):
            clock.seconds = seconds
            assert ours.get_user_session(warm.key) == warm
    finally:
        server.heal()
    assert not link._pool._in_use_connections
    assert not link._idle


def test_connections_are_shared_by_threads_and_not_by_processes(ours, warm, server):
    link = ours._reader._cache._link

    def read():
        assert ours.get_user_session(warm.key) == warm

    for _ in range(3):
        thread = Thread(target=read)
        thread.start()
        thread.join()
    ((_, connection, _),) = link._idle
    assert ours._reader._cache._link is link
    with mock.patch.object(django_redis_cache.os, "getpid", return_value=1):
        read()
        ((opener, other, _),) = link._idle
    assert opener == 1
    assert other is not connection


def test_child_process_leaves_an_answer_to_its_parent(ours, warm, server, caplog):
    cache = ours._reader._cache
    name = mark_name(warm.key)
    message = cache.tell({name: 7}, 60)
    is_child = mock.patch.object(django_redis_cache.os, "getpid", return_value=1)
    with is_child, pytest.raises(django_redis_cache.ConnectionLost):
        message.sent.read()
    assert message.confirm({name: 8})
    assert cache.get([name]) == {name: 8}
    assert not caplog.records


def test_limit_of_connections_is_that_of_a_thread(settings, server, caplog):
    # Django has a pool for each thread.
    settings.CACHES["default"]["OPTIONS"]["max_connections"] = 1
    cache = CachedUserSessionStore(InMemoryUserSessionStore())._reader._cache
    message = cache.tell({"one": 1}, 60)
    assert cache.get(["one"]) == {"one": 1}
    assert message.confirm()
    assert not caplog.records


class TakenMeanwhile(list):
    """The last connection is taken by another thread after a look at the list."""

    def __bool__(self):
        return True


def test_last_connection_may_be_taken_by_another_thread(ours, warm, server, caplog):
    cache = ours._reader._cache
    with mock.patch.object(cache._link, "_idle", TakenMeanwhile()):
        assert cache.get([entry_name(warm.key)])
    assert not caplog.records


def test_connection_is_not_held_during_a_transaction(transactional_db, server):
    ours = CachedUserSessionStore(OrmUserSessionStore())
    session = make_warm(ours)
    link = ours._reader._cache._link
    with transaction.atomic():
        save(ours, session)
        assert len(link._idle) == 1
        assert value_of(server, mark_name(session.key)) == "0"
        end(ours, session)
        assert len(link._idle) == 1
        server.ask("FLUSHALL")
    assert value_of(server, tombstone_name(session.key)) == "1"
    assert len(link._idle) == 1


def test_delete_that_is_rolled_back_leaves_a_tombstone(transactional_db, server):
    ours = CachedUserSessionStore(OrmUserSessionStore())
    session = make_warm(ours)
    with pytest.raises(LookupError), transaction.atomic():
        with pytest.raises(LookupError), transaction.atomic():  # A savepoint.
            end(ours, session)
            raise LookupError
        assert ours.get_user_session(session.key) == session
        raise LookupError
    assert ours.get_user_session(session.key) == session
    assert value_of(server, tombstone_name(session.key)) == "1"
    assert not is_warm(ours, session.key)
    save(ours, session)
    assert ours.get_user_session(session.key).ticket == b"new"
