"""Names in Redis, and hints."""

import pytest

from bff_sessions.contract import ANY, UserSessionsFilter
from bff_sessions.stores.redis import names
from bff_sessions.stores.redis.names import Names

ALICE = UserSessionsFilter(subject_id="alice", partition="shop", issuer="https://idp.example")
KEYS = ["0f" * 32, "0F" * 32, "short", "", "nul\0", "\ud800", "é" * 200, "a}b{"]


@pytest.mark.parametrize("key", KEYS)
def test_name_and_hint_name_the_key(key):
    names_ = Names("shop:")
    assert names_.key(names_.session(key)) == key
    hint = names.write_hint(key, "shop", "https://idp.example")
    assert names.read_hint(hint, ALICE) == key
    assert names.read_hint(names.write_hint(key, "blog", "https://idp.example"), ALICE) is None
    assert names.read_hint(names.write_hint(key, "shop", None), ALICE) is None


def test_hint_of_any_issuer_and_partition():
    filter = UserSessionsFilter(subject_id="alice", issuer=ANY, partition=ANY)
    for issuer in ("https://idp.example", None):
        assert names.read_hint(names.write_hint("key", "blog", issuer), filter) == "key"


@pytest.mark.parametrize("member", [b"", b"short", b"-" * 16 + b"x\xff", b"-" * 16 + b"t\xff\xfe"])
def test_member_that_is_no_hint_raises_nothing(member):
    assert isinstance(names.key_of(member), str)
    assert names.read_hint(member, ALICE) is None


@pytest.mark.parametrize("prefix", ["", "shop:", "shop[1]:", "*?:", "a-z^:"])
def test_pattern_matches_the_names_of_sessions(prefix):
    pattern = Names(prefix).pattern()
    assert pattern.endswith("session:*")
    # The patterns of Redis quote with a backslash.
    assert pattern.replace("\\", "").startswith(prefix)
    assert sum(pattern.count(f"\\{sign}") for sign in "*?[]^-") == sum(map(prefix.count, "*?[]^-"))


def test_kind_quotes_no_key():
    names_ = Names("shop:")
    assert names_.kind(names_.session("secret")) == "session"
    assert {names_.kind(name) for name in names_.hints(ALICE)} == {"subject"}
    assert names_.kind(names_.expiring("secret")) == "expiring"
