"""The servers that tests of the Redis store start do what those tests rely on."""

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from tests.support import servers
from tests.support.processes import ROOT
from tests.support.redis_servers import RedisServer, wait_until

pytestmark = pytest.mark.processes


def test_server_keeps_its_port_and_loses_its_data_when_killed(redis_server):
    redis_server.ask("SET", "name", "alice")
    assert redis_server.ask("GET", "name") == "alice"
    redis_server.kill()
    with pytest.raises(OSError):
        redis_server.ask("PING")
    redis_server.start()
    assert redis_server.ask("GET", "name") is None


def test_paused_server_answers_later(redis_server):
    redis_server.pause()
    with pytest.raises(TimeoutError):
        redis_server.ask("PING", timeout=0.1)
    redis_server.resume()
    assert redis_server.ask("PING") == "PONG"


def test_server_that_does_not_start_is_an_error_that_shows_its_log(redis_program, monkeypatch):
    monkeypatch.setattr(servers, "wait_until", partial(wait_until, seconds=0.5))
    with pytest.raises(TimeoutError) as raised:
        RedisServer(program=redis_program, maxmemory_policy="none of them")
    assert "maxmemory-policy" in raised.value.__notes__[0]


@pytest.mark.parametrize("cause", [signal.SIGTERM, signal.SIGKILL])
def test_server_ends_with_the_tests(redis_program, cause):
    code = (
        "import sys\n"
        "from tests.support.redis_servers import RedisServer\n"
        "server = RedisServer(program=sys.argv[1])\n"
        "print(server.process_id, flush=True)\n"
        "server._watch.wait()\n"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", code, redis_program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    process_id = int(tests.stdout.readline())
    os.kill(process_id, 0)
    tests.send_signal(cause)
    tests.communicate()
    wait_until(lambda: not has_process(process_id), "the server has ended")


def has_process(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_cluster_has_three_primaries_with_a_replica_each(redis_cluster):
    primaries = redis_cluster.primaries()
    assert len(primaries) == 3
    replicas = {redis_cluster.replicas_of(primary)[0].port for primary in primaries}
    assert replicas.isdisjoint(primary.port for primary in primaries)
    assert len(replicas) == 3


def test_replica_takes_the_place_of_a_primary_that_is_killed(redis_cluster):
    primary = redis_cluster.owner_of("name")
    (replica,) = redis_cluster.replicas_of(primary)
    assert primary.ask_all(["SET", "name", "alice"], ["WAIT", 1, 1000]) == ["OK", "1"]
    with redis_cluster.failing_over_after(2000):
        primary.kill()
        redis_cluster.wait()
        assert redis_cluster.owner_of("name") is replica
        assert replica.ask("GET", "name") == "alice"
        redis_cluster.heal()
    assert redis_cluster.replicas_of(replica) == [primary]


def test_replica_takes_the_place_of_a_primary_that_runs(redis_cluster):
    primary = redis_cluster.owner_of("name")
    (replica,) = redis_cluster.replicas_of(primary)
    assert redis_cluster.fail_over(primary) is replica
    assert redis_cluster.owner_of("name") is replica


def test_reshard_moves_slots_with_their_keys(redis_cluster):
    source = redis_cluster.owner_of("name")
    target = next(node for node in redis_cluster.primaries() if node is not source)
    source.ask("SET", "name", "alice")
    slot = redis_cluster.slot_of("name")
    with redis_cluster.moving(slot, target):
        source.ask("GET", "name")
        with pytest.raises(ValueError, match=f"ASK {slot} 127.0.0.1:{target.port}"):
            source.ask("GET", "{name}")
    assert redis_cluster.owner_of("name") is target
    assert target.ask("GET", "name") == "alice"
    slots = sorted(source.slots())[:10]
    redis_cluster.reshard(slots, target)
    assert set(slots) < target.slots()


def test_sentinels_choose_the_replica_when_the_primary_is_killed(redis_sentinels):
    primary = redis_sentinels.primary()
    assert primary.ask_all(["SET", "name", "alice"], ["WAIT", 1, 1000]) == ["OK", "1"]
    primary.kill()
    redis_sentinels.wait()
    promoted = redis_sentinels.primary()
    assert promoted is not primary
    assert promoted.ask("GET", "name") == "alice"
    redis_sentinels.heal()
    assert primary.info("replication")["role"] == "slave"
