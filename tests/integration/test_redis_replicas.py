"""What replicas of Redis confirm, and what they do not: failovers, full servers, late commands."""

import time
from dataclasses import replace
from unittest import mock

import pytest
from django.test import override_settings

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.exceptions import RevocationUnconfirmed, StoreUnavailable
from bff_sessions.stores.redis import RedisUserSessionStore, scripts
from bff_sessions.stores.redis.link import Link
from bff_sessions.testing import make_session
from bff_sessions.testing.harness import Twins
from tests.support.loops import background_loop, in_loop
from tests.support.redis_servers import HOST, RedisServer, wait_until
from tests.support.redis_steps import Walk

pytestmark = pytest.mark.processes
pytest.importorskip("redis")

ALICE = UserSessionsFilter(subject_id="alice")


def wait_for(replica):
    def is_up():
        return replica.info("replication")["master_link_status"] == "up"

    wait_until(is_up, "the replica has copied its primary")


@pytest.fixture
def pair(redis_program):
    """A primary and its replica."""
    with (
        RedisServer(program=redis_program) as primary,
        RedisServer(program=redis_program, replicaof=f"{HOST} {primary.port}") as replica,
    ):
        wait_for(replica)
        yield primary, replica


def make_store(server, link_class=Link, **options):
    # Whatever else runs on this machine, there is time to confirm.
    options = {"URL": server.url, "TIMEOUT": 30, "CONFIRM_WITHIN": 20} | options
    with (
        override_settings(BFF_SESSIONS={"REDIS": options}),
        mock.patch("bff_sessions.stores.redis.store.Link", link_class),
    ):
        return RedisUserSessionStore()


@pytest.mark.parametrize("on_ending", [None, len], ids=["", "with on_ending"])
def test_full_server_confirms_a_revocation(pair, on_ending):
    primary, _ = pair
    store, session = make_store(primary), make_session()
    store.create_user_session(session)
    primary.ask("CONFIG", "SET", "maxmemory", 1)
    [ended] = store.delete_user_sessions(ALICE, on_ending=on_ending)
    assert ended.key == session.key
    assert store.delete_user_sessions(ALICE, on_ending=on_ending) == []


class FailsOver(Link):
    """After `prepare()`, the primary dies before it is asked to wait for its replicas."""

    dies = None

    def prepare(self, primary, replica):
        self.dies, self.url = primary, replica.url
        replica.ask("REPLICAOF", "NO", "ONE")

    def confirm(self, writes):
        if self.dies is not None:
            self.dies.kill()
            self.dies = None
            self._clients.get().close()
            self._clients._client = None
            self._clients._options = replace(self.options, url=self.url)
        return (yield from super().confirm(writes))


@pytest.mark.parametrize("has_replica", [False, True], ids=["alone", "with another replica"])
@pytest.mark.parametrize("revoke", ["delete_user_sessions", "delete_user_session"])
@pytest.mark.parametrize("on_ending", [None, len], ids=["", "with on_ending"])
def test_new_primary_confirms_nothing_that_it_has_not_got(pair, has_replica, revoke, on_ending):
    primary, replica = pair
    options = {"REPLICAS": 1} if has_replica else {}
    store, session = make_store(primary, FailsOver, **options), make_session()
    store.create_user_session(session)
    store._link._replicas._known.clear()  # Ten seconds later.
    which = ALICE if revoke == "delete_user_sessions" else session.key
    with RedisServer(program=primary.program) as second:
        store._link.prepare(primary, replica)
        if has_replica:
            second.ask("REPLICAOF", HOST, replica.port)
            wait_for(second)
        with pytest.raises(RevocationUnconfirmed) as caught:
            getattr(store, revoke)(which, on_ending=on_ending)
        assert [one.key for one in caught.value.deleted] == [session.key]
        assert store.get_user_session(session.key) == session
        assert getattr(store, revoke)(which, on_ending=on_ending)
        assert store.get_user_session(session.key) is None


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("moves", ["before", "after"])
@pytest.mark.parametrize("kind", ["session", "subject"])
@pytest.mark.parametrize("on_ending", [None, len], ids=["", "with on_ending"])
def test_replicas_confirm_while_a_slot_moves(redis_cluster, kind, moves, is_async, on_ending):
    """The key has moved, or not yet: the node of the slot redirects, or answers."""
    session = make_session()
    with background_loop() as loop:
        store = make_store(redis_cluster.nodes[0], CLUSTER=True, REPLICAS=1)
        store = Twins(store, in_loop(loop)) if is_async else store
        link = repairs(store)._link
        name = link.names.session(session.key).decode()
        if kind == "subject":
            name = list(link.names.hints(session))[-1].decode()
        slot = redis_cluster.slot_of(name)
        source = redis_cluster.owner_of(name)
        target = next(one for one in redis_cluster.primaries() if one is not source)
        store.create_user_session(session)
        with redis_cluster.moving(slot, target):
            if moves == "before":
                source.ask("MIGRATE", HOST, target.port, name, 0, 5000)
            store.touch_user_session(session.key, renewed=session.renewed, expires=None)
            store.acquire_lease(session.key, "one", 60)
            store.release_lease(session.key, "one")
            [ended] = store.delete_user_sessions(ALICE, on_ending=on_ending)
            assert ended.key == session.key
            assert store.delete_user_sessions(ALICE, on_ending=on_ending) == []
            store.create_user_session(other := make_session())
            assert store.delete_user_session(other.key)


def repairs(store):
    return store._store if isinstance(store, Twins) else store


def test_hints_that_a_failover_has_lost_are_written_again_before_the_session(pair):
    primary, replica = pair
    store, session = make_store(primary, FailsOver), make_session()
    store._link.prepare(primary, replica)
    store.create_user_session(session)
    assert store.get_user_session(session.key) == session
    assert [one.key for one in store.delete_user_sessions(ALICE)] == [session.key]


def test_session_that_a_failed_move_creates_late_finds_a_tombstone(redis_server):
    class IsLate(Link):
        late = None

        def _ask(self, command):
            if command[1] == scripts.CREATE and self.late is not None:
                self.late.append(command)
                raise StoreUnavailable("The answer was lost.")
            return super()._ask(command)

    store, old, new = make_store(redis_server, IsLate), make_session(), make_session()
    store.create_user_session(old)
    store._link.late = []
    with pytest.raises(StoreUnavailable):
        store.rekey_user_session(old.key, new, if_version=1)
    [command], store._link.late = store._link.late, None
    store._link._ask(command)
    assert store.get_user_session(new.key) is None
    assert store.get_user_session(old.key).ticket == old.ticket


def test_clock_of_a_host_that_is_ahead_removes_no_hints(redis_server):
    store, session = make_store(redis_server), make_session()
    store.create_user_session(session)
    ahead = time.time() + 20 * 86_400
    with mock.patch("time.time", return_value=ahead):
        store.create_user_session(make_session())
    assert len(store.delete_user_sessions(ALICE)) == 2
    assert store.get_user_session(session.key) is None


def die(batch):
    raise KeyboardInterrupt


def test_clean_up_ends_the_session_to_which_an_interrupted_delete_was_moving(redis_server):
    class Dies(Link):
        def send(self, commands):
            opens = [one for one in commands if one[1] == scripts.OPEN]
            return (yield from super().send([]) if opens else super().send(commands))

    store, old, new = make_store(redis_server, Dies), make_session(), make_session()
    store.create_user_session(old)
    move = Walk(store._rekey_user_session(old.key, new, if_version=1))
    while store.get_user_session(new.key) is None:
        assert not move.take(1)
    with pytest.raises(KeyboardInterrupt):
        store.delete_user_session(old.key, on_ending=die)
    move.die()
    with mock.patch("bff_sessions.stores.redis.maintenance._INTERRUPTED", -1):
        assert len(store.finish_deletes(None)) == 2
    assert store.get_user_session(new.key) is None


def test_clean_up_keeps_the_hint_at_a_session_that_is_closed_again(redis_server):
    """Otherwise no clean-up would find the refresh token if that delete is interrupted."""
    store, session = make_store(redis_server), make_session()
    store.create_user_session(session)
    with pytest.raises(KeyboardInterrupt):
        store.delete_user_session(session.key, on_ending=die)
    [name] = redis_server.ask("KEYS", "bff_sessions:closed:*")
    hint = store._link.names.closed(session.key)
    assert name == hint.decode()

    class Slow(Link):
        def send(self, commands):
            if any(one[0] == "HEXISTS" for one in commands):
                results = yield from super().send(commands)
                Walk(store._delete_user_session(session.key, on_ending=len)).take(3)
                return results
            return (yield from super().send(commands))

    with mock.patch("bff_sessions.stores.redis.maintenance._INTERRUPTED", 0):
        make_store(redis_server, Slow).finish_deletes(None)
    assert int(redis_server.ask("ZCARD", name)) == 1
