"""What a read costs, what it leaves in the cache, and what it makes of what it finds there."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured

from bff_sessions.engine import SessionStore
from bff_sessions.stores import get_store
from bff_sessions.stores.cached import CachedUserSessionStore, reading
from bff_sessions.stores.cached.entries import entry_name, mark_name
from bff_sessions.testing import make_session
from tests.support.caches import FakeCache, after_reading, entries, is_warm
from tests.support.minimal import MinimalStore


def test_a_cold_load_is_one_statement_and_a_warm_one_none(
    transactional_db, cache, settings, calls, django_assert_num_queries
):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"}
    session_key = calls.start(cart=[1]).session_key
    for statements in (1, 0, 0):
        with django_assert_num_queries(statements):
            assert calls.get(SessionStore(session_key), "cart") == [1]
    calls.change(session_key, cart=[2])
    for statements in (1, 0):
        with django_assert_num_queries(statements):
            assert calls.get(SessionStore(session_key), "cart") == [2]


def test_a_warm_read_is_one_call_of_the_cache(ours, warm):
    FakeCache.calls.clear()
    assert ours.get_user_session(warm.key) == warm
    assert FakeCache.calls == ["get_many"]


def test_peek_reads_the_store_and_not_the_cache(ours, inner, warm):
    inner.delete_user_session(warm.key)  # The cache was not told.
    FakeCache.calls.clear()
    assert ours.get_user_session(warm.key) == warm
    assert ours.peek_user_sessions([warm.key]) == {}
    assert FakeCache.calls == ["get_many"]


def test_an_unknown_key_leaves_nothing_behind(ours, cache):
    assert ours.get_user_session("0" * 64) is None
    assert not cache._cache


def test_nothing_in_the_cache_can_be_read(ours, warm, cache):
    ours.touch_user_session(warm.key, renewed=warm.renewed, expires=None)
    assert len(cache._cache) == 2
    for name, value in cache._cache.items():
        for secret in (warm.key, warm.subject_id, warm.session_id, warm.issuer, warm.partition):
            assert secret not in name
            assert secret.encode() not in value
        assert warm.ticket not in value


def test_an_entry_leaves_the_cache_before_the_session_ends(ours, cache):
    expires = datetime.now(UTC) + timedelta(seconds=10)
    session = make_session(expires=expires)
    ours.create_user_session(session)
    ours.get_user_session(session.key)
    (leaves,) = cache._expire_info.values()
    assert leaves <= expires.timestamp()


def test_what_is_about_to_expire_is_not_cached(ours, cache):
    session = make_session(expires=datetime.now(UTC) + timedelta(seconds=0.9))
    ours.create_user_session(session)
    assert ours.get_user_session(session.key) == session
    assert not cache._cache


def test_what_has_expired_in_the_cache_is_asked_for(ours, inner, cache, clock):
    now = datetime.now(UTC)
    session = make_session(expires=now + timedelta(seconds=2))
    ours.create_user_session(session)
    ours.get_user_session(session.key)
    inner.touch_user_session(session.key, renewed=now, expires=None)
    later = SimpleNamespace(
        now=lambda zone: now + timedelta(seconds=3), fromisoformat=datetime.fromisoformat
    )
    with mock.patch.object(reading, "datetime", later):
        assert ours.get_user_session(session.key).expires is None


def test_an_entry_of_the_future_is_not_served(ours, warm, clock):
    clock.seconds = -5
    assert not is_warm(ours, warm.key)


def test_clock_that_is_set_back_during_a_read_leaves_no_entry(ours, cache, clock):
    ours.create_user_session(session := make_session(expires=None))

    def set_back():
        clock.seconds = -3600

    with after_reading(ours, set_back):
        assert ours.get_user_session(session.key) == session
    # It would be served in an hour, after the tombstone of a session that ends now.
    assert not entries(cache)


def test_an_entry_that_cannot_be_opened_is_replaced(ours, warm, cache, settings):
    settings.SECRET_KEY = "another one, and long enough for it, too"
    assert not is_warm(ours, warm.key)
    assert ours.get_user_session(warm.key) == warm
    assert is_warm(ours, warm.key)
    cache.set(entry_name(warm.key), "what is this?")
    assert ours.get_user_session(warm.key) == warm


def test_an_entry_copied_to_another_session_does_not_open(ours, warm, cache):
    other = make_session()
    ours.create_user_session(other)
    cache.set(entry_name(other.key), cache.get(entry_name(warm.key)))
    assert ours.get_user_session(other.key) == other


def test_settings_say_what_is_behind_and_in_front(settings, cache):
    settings.BFF_SESSIONS = {
        "CACHED_STORE": "tests.support.minimal.MinimalStore",
        "CACHE": "other",
        "MAX_STALE": 5,
    }
    store = CachedUserSessionStore()
    assert isinstance(store._inner, MinimalStore)
    assert (store._reader._cache.alias, store._marks.max_stale) == ("other", 5)


def test_it_is_not_around_itself(settings):
    settings.BFF_SESSIONS = {
        "STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
        "CACHED_STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
    }
    with pytest.raises(ImproperlyConfigured, match="CACHED_STORE"):
        get_store()


@pytest.mark.parametrize("mark", [b"bytes", "text", True, 1.5, None], ids=repr)
def test_a_mark_that_is_none_means_to_ask_the_store(ours, warm, cache, mark):
    cache.set(mark_name(warm.key), mark)
    assert is_warm(ours, warm.key) is (mark is None)
    assert ours.get_user_session(warm.key) == warm
