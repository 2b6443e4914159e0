"""How the Redis store connects, without a server."""

import pytest

from bff_sessions.stores.redis.options import RedisOptions

redis = pytest.importorskip("redis")

from bff_sessions.stores.redis.connecting import connect  # noqa: E402


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_tls_is_for_sentinels_and_their_primary(scheme, asynchronous):
    package = redis.asyncio if asynchronous else redis
    query = "?ssl_ca_certs=/ca.pem" if scheme == "rediss" else ""
    urls = [f"{scheme}://user:word@one:1/3{query}", f"{scheme}://two"]
    client = connect(RedisOptions(url=urls, sentinel="sessions"), asynchronous=asynchronous)
    pools = [client.connection_pool]
    pools += [one.connection_pool for one in client.connection_pool.sentinel_manager.sentinels]
    assert len(pools) == 3
    for pool in pools:
        assert issubclass(pool.connection_class, package.SSLConnection) is (scheme == "rediss")
        assert pool.connection_kwargs.get("ssl_ca_certs") == ("/ca.pem" if query else None)
    primary, one, two = (pool.connection_kwargs for pool in pools)
    assert (primary["username"], primary["password"], primary["db"]) == ("user", "word", 3)
    assert [each.get("password") for each in (one, two)] == [None, None]
    assert [(each["host"], each["port"]) for each in (one, two)] == [("one", 1), ("two", 26379)]
