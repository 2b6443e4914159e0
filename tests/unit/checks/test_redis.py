"""What the checks say of BFF_SESSIONS["REDIS"], without asking a server."""

import pytest

from tests.support.checks import messages, only_message

STORE = "bff_sessions.stores.redis.RedisUserSessionStore"
URL = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def has_redis(monkeypatch):
    """The tests also run where redis-py is not installed."""
    monkeypatch.setattr("bff_sessions.checks.redis.find_spec", lambda name: name)


def client(*, asynchronous):
    raise NotImplementedError


@pytest.mark.parametrize(
    "redis",
    [
        {"URL": URL},
        {"URL": [URL, "redis://127.0.0.1:2"], "CLUSTER": True},
        {"URL": (URL,), "SENTINEL": "mymaster"},
        {"CLIENT": f"{__name__}.client"},
        {"URL": URL, "KEY_PREFIX": "shop:", "TIMEOUT": 0.5, "REPLICAS": 2, "CONFIRM_WITHIN": 0.1},
        {"URL": URL, "REPLICAS": 0, "GRACE": 0},
    ],
)
def test_good_settings_are_silent(settings, redis):
    settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": redis}
    assert messages() == []


@pytest.mark.parametrize(
    ("id", "option", "value"),
    [
        ("E081", "URL", "localhost"),
        ("E081", "URL", []),
        ("E081", "URL", "redis://:secret/@127.0.0.1:6379"),
        ("E081", "URL", ["redis://127.0.0.1", "redis://127.0.0.1:secret"]),
        ("E082", "CLUSTER", "yes"),
        ("E083", "SENTINEL", ""),
        ("E084", "CLIENT", "nowhere.client"),
        ("E085", "KEY_PREFIX", "{shop}:"),
        ("E086", "TIMEOUT", -1),
        ("E087", "REPLICAS", -1),
        ("E087", "REPLICAS", True),
        ("E088", "CONFIRM_WITHIN", "1"),
        ("E089", "GRACE", -1),
        ("E092", "ADDRESS", URL),
    ],
)
def test_bad_options_are_refused(settings, id, option, value):
    settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": {"URL": URL} | {option: value}}
    assert "secret" not in only_message(id).msg


def test_redis_must_be_a_dictionary(settings):
    settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": URL}
    assert "secret" not in only_message("E080").msg


def test_store_must_know_where_redis_is(settings):
    settings.BFF_SESSIONS = {"STORE": STORE}
    only_message("E090")


def test_missing_package_is_named(settings, monkeypatch):
    monkeypatch.setattr("bff_sessions.checks.redis.find_spec", lambda name: None)
    settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": {"URL": URL}}
    assert "django-bff-sessions[redis]" in only_message("E091").hint


@pytest.mark.parametrize("store", ["bff_sessions.stores.orm.OrmUserSessionStore", None])
def test_options_of_another_store_have_no_effect(settings, store):
    settings.BFF_SESSIONS = {"REDIS": {"URL": URL}} | ({"STORE": store} if store else {})
    only_message("W080")


def test_store_behind_a_cache_uses_the_options(settings):
    cached = "bff_sessions.stores.cached.CachedUserSessionStore"
    settings.BFF_SESSIONS = {"STORE": cached, "CACHED_STORE": STORE, "REDIS": {"URL": URL}}
    assert "bff_sessions.W080" not in {message.id for message in messages()}


def test_server_that_cannot_be_reached_is_warned_of(settings):
    pytest.importorskip("redis")
    settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": {"URL": URL}}
    [found] = [message for message in messages(deploy=True) if "W08" in message.id]
    assert found.id == "bff_sessions.W081"
    assert "secret" not in found.msg
    assert "password" in found.hint
