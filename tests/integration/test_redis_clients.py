"""Clients of the Redis store: many threads, event loops and errors, and clients of users."""

import asyncio
import socket
import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.stores.redis import RedisUserSessionStore, clients
from bff_sessions.testing import make_session
from tests.support.servers import HOST

pytestmark = pytest.mark.processes
redis = pytest.importorskip("redis")


def make_store(**options):
    with override_settings(BFF_SESSIONS={"REDIS": options}):
        return RedisUserSessionStore()


def test_threads_do_not_wait_for_each_other_if_a_cluster_is_away(monkeypatch):
    store = make_store(URL=f"redis://{HOST}:1", CLUSTER=True)
    number = 5
    at_once = threading.Barrier(number, timeout=30)
    outcomes = []

    def make(options, *, asynchronous):
        at_once.wait()  # All of them make a client at the same time.
        raise redis.ConnectionError

    def read():
        try:
            store.get_user_session("key")
        except Exception as error:
            outcomes.append(type(error))

    monkeypatch.setattr(clients, "_make", make)
    threads = [threading.Thread(target=read) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [StoreUnavailable] * number


def test_threads_share_the_client_that_was_made_first(redis_server, monkeypatch):
    store = make_store(URL=redis_server.url)
    at_once = threading.Barrier(2, timeout=30)
    made, closed = [], []

    class Client(redis.Redis):
        def close(self):
            closed.append(self)
            super().close()

    def make(options, *, asynchronous):
        at_once.wait()
        made.append(Client.from_url(options.url))
        return made[-1]

    monkeypatch.setattr(clients, "_make", make)
    threads = [threading.Thread(target=store.get_user_session, args=["key"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert [one for one in made if one not in closed] == [store._link._clients.get()]
    store._link._clients.get().close()


def test_clients_that_failed_keep_no_connections(redis_cluster, monkeypatch):
    """A part of a Cluster that is away for long must not use up the connections of the others."""
    monkeypatch.setattr(clients, "_KEPT", 0)
    store = make_store(URL=[one.url for one in redis_cluster.nodes], CLUSTER=True)

    def connections():
        return sum(int(one.info("clients")["connected_clients"]) for one in redis_cluster.nodes)

    async def fail_often():
        await store.aget_user_session("key")
        before = connections()
        for _ in range(20):
            with pytest.raises(StoreUnavailable, match="OutOfMemory"):
                await store.acreate_user_session(make_session())
        return before, connections()

    for node in redis_cluster.primaries():
        node.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        before, after = asyncio.run(fail_often())
    finally:
        for node in redis_cluster.primaries():
            node.ask("CONFIG", "SET", "maxmemory", 0)
    assert after <= before + 2 * len(redis_cluster.nodes)


def decoding_client(*, asynchronous):
    package = redis.asyncio if asynchronous else redis
    return package.Redis(host=HOST, port=1, decode_responses=True)


def test_client_that_decodes_is_refused():
    store = make_store(CLIENT=f"{__name__}.decoding_client")
    with pytest.raises(ImproperlyConfigured, match="decode_responses"):
        store.get_user_session("key")
    with pytest.raises(ImproperlyConfigured, match="decode_responses"):
        asyncio.run(store.aget_user_session("key"))


def test_server_that_is_no_redis_is_an_error():
    with socket.create_server((HOST, 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        store = make_store(URL=f"redis://{HOST}:{other.getsockname()[1]}", TIMEOUT=5)
        with pytest.raises(StoreUnavailable):
            store.get_user_session("key")
        thread.join()
