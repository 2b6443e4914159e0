"""What operators do with the Redis store: users, checks, commands, replicas."""

import io
import logging
import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command

from bff_sessions.contract import Device, UserSessionsFilter, UserSessionUpdate
from bff_sessions.exceptions import RevocationUnconfirmed
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from tests.support.checks import messages

pytestmark = pytest.mark.processes
pytest.importorskip("redis")

ALICE = UserSessionsFilter(subject_id="alice")
STORE = "bff_sessions.stores.redis.RedisUserSessionStore"
CACHED = "bff_sessions.stores.cached.CachedUserSessionStore"
PAGE = Path("docs/how-to/redis.md")


@pytest.fixture
def use(settings):
    """Configure the store with options of REDIS and other settings."""

    def use(redis, **others):
        settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": redis} | others
        return get_store()

    return use


def urls(servers, user=""):
    return [server.url.replace("redis://", f"redis://{user}") for server in servers]


def use_all_verbs(store):
    """Create, save, move, list and end a session, with what replicas have to confirm."""
    session, moved = make_session(), make_session()
    store.create_user_session(session)
    store.update_user_session(session.key, UserSessionUpdate.of(session), if_version=1)
    store.touch_user_session(session.key, renewed=datetime.now(UTC), expires=None)
    store.acquire_lease(session.key, "one", 60)
    store.rekey_user_session(session.key, moved, if_version=2)
    assert [one.key for one in store.get_user_sessions(ALICE)] == [moved.key]
    ended = store.delete_user_sessions(ALICE, on_ending=lambda batch: None)
    assert [one.key for one in ended] == [moved.key]


def rule_of_documentation():
    return re.search(r"^user (bff .*)$", PAGE.read_text(), re.M)[1].split()


@pytest.mark.parametrize("place", ["one server", "cluster"])
def test_user_of_the_documentation_may_do_all(use, redis_sentinels, redis_cluster, place):
    rule = rule_of_documentation()
    servers = redis_sentinels.servers if place == "one server" else redis_cluster.nodes
    with ExitStack() as stack:
        for server in servers:
            server.ask("ACL", "SETUSER", *rule)
            stack.callback(server.ask, "ACL", "DELUSER", rule[0])
        user = f"{rule[0]}:{rule[2].removeprefix('>')}@"
        if place == "cluster":
            # Only the first URL has the password.
            first, *others = servers
            options = {"URL": [*urls([first], user), *urls(others)], "CLUSTER": True}
        else:
            options = {"URL": urls([redis_sentinels.primary()], user)[0]}
        store = use(options)
        use_all_verbs(store)
        async_to_sync(use_all_twins)(store)
        assert store.reindex_sessions() == 0
        assert {primary.policy for primary in store.find_primaries().values()} == {"noeviction"}


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "KEYS *", "CLUSTER RESET", "CONFIG SET maxmemory 0"],
)
def test_user_of_the_documentation_cannot_harm_others(redis_server, command):
    rule = rule_of_documentation()
    redis_server.ask("ACL", "SETUSER", *rule)
    sign_in = ("AUTH", rule[0], rule[2].removeprefix(">"))
    try:
        assert redis_server.ask_all(sign_in, ("GET", "bff_sessions:one")) == ["OK", None]
        with pytest.raises(ValueError, match="NOPERM"):
            redis_server.ask_all(sign_in, command.split())
    finally:
        redis_server.ask("ACL", "DELUSER", rule[0])


async def use_all_twins(store):
    session = make_session()
    await store.acreate_user_session(session)
    assert await store.aget_user_session(session.key) == session
    assert len(await store.adelete_user_sessions(ALICE)) == 1


def found(*, deploy=True):
    """The ids of the checks of Redis."""
    return {one.id.partition(".")[2] for one in messages(deploy=deploy) if "W08" in one.id}


def test_checks_look_at_one_server(use, redis_server):
    use({"URL": redis_server.url})
    assert found() == {"W084"}
    assert found(deploy=False) == set()
    redis_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert found() == {"W082", "W084"}
    finally:
        redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis_server.ask("CONFIG", "SET", "save", "3600 1")
    try:
        assert found() == {"W084", "W086"}
        redis_server.ask("CONFIG", "SET", "appendonly", "yes")
        assert found() == {"W084"}
    finally:
        redis_server.ask("CONFIG", "SET", "appendonly", "no")
        redis_server.ask("CONFIG", "SET", "save", "")
    redis_server.ask("ACL", "SETUSER", "poor", "on", ">word", "~*", "+@all", "-config")
    use({"URL": redis_server.url.replace("redis://", "redis://poor:word@")})
    assert found() == {"W083", "W084"}
    redis_server.ask("ACL", "DELUSER", "poor")


def test_check_finds_a_cluster_that_the_setting_does_not_name(use, redis_cluster):
    use({"URL": redis_cluster.primaries()[0].url})
    assert found() == {"W085"}


def test_checks_look_at_all_primaries_of_a_cluster(use, redis_cluster):
    use({"URL": urls(redis_cluster.nodes), "CLUSTER": True})
    assert found() == set()
    use({"URL": urls(redis_cluster.nodes), "CLUSTER": True, "REPLICAS": 2})
    texts = [one.msg for one in messages(deploy=True) if one.id == "bff_sessions.W084"]
    assert len(texts) == 3
    for primary in redis_cluster.primaries():
        assert any(f":{primary.port} has 1 of 2" in text for text in texts)


@pytest.mark.parametrize("behind_a_cache", [False, True])
def test_index_is_rebuilt_by_the_command(use, redis_cluster, behind_a_cache):
    others = {"STORE": CACHED, "CACHED_STORE": STORE} if behind_a_cache else {}
    store = use({"URL": urls(redis_cluster.nodes), "CLUSTER": True}, **others)
    made = [make_session(subject_id=f"user {number}") for number in range(30)]
    for session in made:
        store.create_user_session(session)
    for primary in redis_cluster.primaries():
        for name in primary.ask("KEYS", "bff_sessions:s*:*"):
            if not name.startswith("bff_sessions:session:"):
                primary.ask("DEL", name)
    assert not store.get_user_sessions(UserSessionsFilter(subject_id="user 7"))
    out = io.StringIO()
    call_command("sessions", "reindex", stdout=out)
    assert out.getvalue() == "30 sessions indexed.\n"
    for session in made:
        filter = UserSessionsFilter(subject_id=session.subject_id)
        assert [one.key for one in store.delete_user_sessions(filter)] == [session.key]


@pytest.mark.django_db
@pytest.mark.parametrize("behind_a_cache", [False, True])
def test_clean_up_finishes_an_interrupted_delete(use, redis_server, monkeypatch, behind_a_cache):
    others = {"STORE": CACHED, "CACHED_STORE": STORE} if behind_a_cache else {}
    store = use({"URL": redis_server.url}, **others)
    session = make_session()
    store.create_user_session(session)

    def fields():
        return set(redis_server.ask("HKEYS", f"bff_sessions:session:{session.key}"))

    def die(batch):
        raise KeyboardInterrupt

    # A process that dies does not open the session again.
    monkeypatch.setattr("bff_sessions.stores.redis.scripts.OPEN", "return 0")
    with pytest.raises(KeyboardInterrupt):
        store.delete_user_session(session.key, on_ending=die)
    assert store.get_user_session(session.key) is None
    assert {"closed", "ticket"} < fields()
    monkeypatch.setattr("bff_sessions.stores.redis.maintenance._INTERRUPTED", -1)
    call_command("cleanup_sessions", stdout=io.StringIO())
    assert fields() == {"tombstone"}


def test_clean_up_that_comes_too_late_is_an_error(use, redis_server, caplog):
    options = {"URL": redis_server.url, "GRACE": 1}
    store = use(options, TOKEN_REVOCATION={"EXPIRED_SESSIONS": True})
    now = datetime.now(UTC)
    store.create_user_session(make_session(expires=now - timedelta(seconds=2)))
    store.create_user_session(make_session(expires=now - timedelta(seconds=0.1)))
    assert store.delete_expired_sessions() == 1
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.name == "bff_sessions.store"
    assert "expired sessions (1) before this clean-up" in record.getMessage()


@pytest.mark.parametrize("revoke", ["delete_user_sessions", "delete_user_session"])
def test_revocation_is_repeated_until_replicas_confirm_it(use, redis_sentinels, revoke):
    primary = redis_sentinels.primary()
    [replica] = [server for server in redis_sentinels.servers if server is not primary]
    store = use({"URL": primary.url, "REPLICAS": 1, "CONFIRM_WITHIN": 0.2})
    session = make_session()
    store.create_user_session(session)
    which = ALICE if revoke == "delete_user_sessions" else session.key
    replica.pause()
    try:
        with pytest.raises(RevocationUnconfirmed) as caught:
            getattr(store, revoke)(which)
        assert [one.key for one in caught.value.deleted] == [session.key]
        assert store.get_user_session(session.key) is None
        with pytest.raises(RevocationUnconfirmed) as caught:
            getattr(store, revoke)(which)
        assert caught.value.deleted == []
    finally:
        replica.resume()
    assert not getattr(store, revoke)(which)


@pytest.mark.parametrize("on_ending", [None, len], ids=["", "with on_ending"])
def test_ended_session_says_which_browser_used_it(use, redis_server, on_ending):
    store, session = use({"URL": redis_server.url}), make_session()
    store.create_user_session(session)
    device = Device(user_agent="Firefox", address="192.0.2.0/24")
    store.note_device(session.key, seen=datetime.now(UTC), device=device)
    [ended] = store.delete_user_sessions(ALICE, on_ending=on_ending)
    assert (ended.user_agent, ended.address) == ("Firefox", "192.0.2.0/24")
