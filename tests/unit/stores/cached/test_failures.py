"""A cache that fails costs speed and a line in the log."""

import logging
from unittest import mock

import pytest
from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache

from bff_sessions.stores.cached import CachedUserSessionStore, invalidation
from bff_sessions.stores.cached.backend import Cache
from bff_sessions.testing import make_session
from tests.support.caches import (
    ALICES,
    DATABASE_CACHE,
    FakeCache,
    after_reading,
    database_cache,
    is_warm,
    marks,
    update_of,
)


def test_a_cache_that_is_down_costs_no_more_than_a_log_line(ours, inner, clock, caplog):
    FakeCache.is_down = True
    session = make_session()
    ours.create_user_session(session)
    for _ in range(50):
        assert ours.get_user_session(session.key) == session
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "ConnectionError" in record.getMessage()
    assert FakeCache.calls == ["get_many"]  # It is left alone for a while.
    clock.seconds = 61
    ours.get_user_session(session.key)
    assert len(caplog.records) == 2
    FakeCache.is_down = False
    clock.seconds = 63
    ours.get_user_session(session.key)
    assert is_warm(ours, session.key)


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_a_cache_that_fails_half_way_is_no_error(ours, warm, cache, verb):
    if verb == "add":
        cache.clear()
    with mock.patch.object(FakeCache, verb, side_effect=ConnectionError):
        assert ours.get_user_session(warm.key) == warm
        assert ours.delete_user_session(warm.key) is True
    assert ours.get_user_session(warm.key) is None


def test_marks_that_the_cache_refuses_are_written_later(ours, theirs, warm, clock, caplog):
    FakeCache.refuses = True
    session = ours.get_user_session(warm.key)
    ours.update_user_session(warm.key, update_of(session, ticket=b"new"), if_version=1)
    assert ours.get_user_session(warm.key).ticket == b"new"  # Who wrote it knows.
    ours.delete_user_session(warm.key)
    assert "could not be invalidated" in caplog.text
    FakeCache.refuses = False
    clock.seconds = 2
    assert ours.get_user_session("0" * 64) is None  # Any read is an occasion.
    assert theirs.get_user_session(warm.key) is None
    assert not ours._marks._owed.get_all()


def test_marks_are_not_written_when_it_is_of_no_use_any_more(ours, warm, cache, clock):
    FakeCache.is_down = True
    ours.delete_user_session(warm.key)
    FakeCache.is_down = False
    clock.seconds = 31
    ours.get_user_session("0" * 64)
    assert not ours._marks._owed.get_all()
    assert not marks(cache)


def test_what_is_owed_to_the_cache_is_bounded(ours, inner, monkeypatch):
    monkeypatch.setattr(invalidation, "_MAX_REMEMBERED", 3)
    sessions = [make_session() for _ in range(5)]
    for session in sessions:
        inner.create_user_session(session)
    FakeCache.is_down = True
    for session in sessions:
        ours.delete_user_session(session.key)
    assert list(ours._marks._owed.get_all()) == [session.key for session in sessions[2:]]


def test_a_host_that_only_writes_tells_of_what_it_owes_with_its_next_write(ours, theirs, warm):
    other = make_session()
    ours.create_user_session(other)
    FakeCache.is_down = True
    ours.delete_user_session(warm.key)
    FakeCache.is_down = False
    assert is_warm(theirs, warm.key)  # This is what MAX_STALE says.
    ours.delete_user_session(other.key)
    assert theirs.get_user_session(warm.key) is None


def test_every_ended_session_of_which_the_cache_was_not_told_is_an_error_in_the_log(ours, caplog):
    FakeCache.refuses = True
    for number in range(3):
        ours.create_user_session(session := make_session())
        ours.touch_user_session(session.key, renewed=session.renewed, expires=None)
        assert ours.delete_user_session(session.key)
        errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert len([error for error in errors if "ended" in error]) == number + 1
        assert len([error for error in errors if "changed" in error]) == 1  # A minute.


def test_a_mark_that_the_cache_in_the_database_has_not_kept_is_no_secret(
    any_database_cache, inner, clock, caplog
):
    # Django's swallows what its database says.
    ours, theirs = CachedUserSessionStore(inner), CachedUserSessionStore(inner)
    session = make_session()
    ours.create_user_session(session)
    ours.get_user_session(session.key)
    with mock.patch.object(DatabaseCache, "_base_set", return_value=False):
        assert ours.delete_user_session(session.key)
    assert "ended" in caplog.text
    assert ours.get_user_session(session.key) is None
    clock.seconds = 2
    assert ours.get_user_session(session.key) is None
    assert theirs.get_user_session(session.key) is None


def test_a_mark_that_the_cache_in_the_database_keeps_only_later_is_tried_twice(
    any_database_cache, inner, caplog
):
    ours = CachedUserSessionStore(inner)
    original, tries = DatabaseCache._base_set, []

    def keep_only_later(self, mode, name, value, *args, **kwargs):
        # Another process is quicker to add the same; Django hides the error.
        tries.append(name)
        return original(self, mode, name, 7 if len(tries) == 1 else value, *args, **kwargs)

    with mock.patch.object(DatabaseCache, "_base_set", keep_only_later):
        assert not ours.delete_user_session("0" * 64)
    assert len(tries) == 2
    assert caplog.text == ""


# A cache that hides its faults


class HidingCache(LocMemCache):
    """Drops writes without an error; as django-redis does with IGNORE_EXCEPTIONS."""

    hides = None
    calls = []
    meanwhile = None

    def get_many(self, keys, version=None):
        self.calls.append("get_many")
        if HidingCache.meanwhile is not None:
            action, HidingCache.meanwhile = HidingCache.meanwhile, None
            action()
        return {} if self.hides == "down" else super().get_many(keys, version)

    def set_many(self, data, timeout=None, version=None):
        self.calls.append("set_many")
        if self.hides == "one of many":
            data = dict(list(data.items())[:-1])
        return super().set_many({} if self.hides in ("down", "full") else data, timeout, version)


@pytest.fixture
def hiding(settings, monkeypatch, inner):
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.HidingCache", "LOCATION": "hiding"}}
    HidingCache.calls.clear()
    yield lambda how: monkeypatch.setattr(HidingCache, "hides", how)
    caches["default"].clear()


def warm_session(store):
    session = make_session()
    store.create_user_session(session)
    store.get_user_session(session.key)
    assert is_warm(store, session.key)
    return session


@pytest.mark.parametrize("how", ["down", "full", "one of many"])
@pytest.mark.parametrize(
    "end",
    [
        lambda store, key: store.delete_user_session(key),
        lambda store, key: store.delete_user_sessions(ALICES),
        lambda store, key: store.rekey_user_session(key, make_session(), if_version=1),
    ],
    ids=["delete", "delete_many", "rekey"],
)
def test_dropped_tombstone_is_logged_and_written_later(hiding, inner, clock, caplog, how, end):
    ours, theirs = CachedUserSessionStore(inner), CachedUserSessionStore(inner)
    session = warm_session(ours)
    hiding(how)
    end(ours, session.key)
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "could not be invalidated for ended sessions (1)" in error.getMessage()
    assert ours.get_user_session(session.key) is None
    hiding(None)
    clock.seconds = 2
    assert ours.get_user_session("0" * 64) is None
    assert theirs.get_user_session(session.key) is None
    assert not ours._marks._owed.get_all()


def test_dropped_number_of_a_save_is_logged_and_written_later(hiding, inner, clock, caplog):
    ours, theirs = CachedUserSessionStore(inner), CachedUserSessionStore(inner)
    session = warm_session(ours)
    hiding("full")
    ours.update_user_session(session.key, update_of(session, ticket=b"new"), if_version=1)
    assert "could not be invalidated for a session that changed" in caplog.text
    hiding(None)
    clock.seconds = 2
    assert ours.get_user_session(session.key).ticket == b"new"
    assert theirs.get_user_session(session.key).ticket == b"new"


def test_second_try_of_a_save_does_not_bring_back_what_ended(hiding, inner):
    ours, theirs = CachedUserSessionStore(inner), CachedUserSessionStore(inner)
    session = warm_session(ours)
    key = session.key

    def fill_and_end():
        # Before the number of the save is read back: a slow reader fills beside that number.
        with after_reading(theirs, lambda: CachedUserSessionStore(inner).delete_user_session(key)):
            assert theirs.get_user_session(key).ticket == b"new"

    def commit(callback):
        HidingCache.meanwhile = fill_and_end
        with mock.patch.object(inner, "on_commit", lambda callback: callback()):
            callback()

    with mock.patch.object(inner, "on_commit", commit):
        ours.update_user_session(key, update_of(session, ticket=b"new"), if_version=1)
    assert HidingCache.meanwhile is None
    assert theirs.get_user_session(key) is None


def test_hidden_fault_is_waited_for_once(hiding, clock):
    cache = Cache("default")
    hiding("down")
    assert cache.tell({"name": 1}, 60).confirm() is False
    assert HidingCache.calls == ["set_many", "get_many"]
    assert cache.is_away
    clock.seconds = 2
    assert not cache.is_away


@pytest.mark.parametrize(
    "backend", ["locmem.LocMemCache", "filebased.FileBasedCache", "dummy.DummyCache"]
)
def test_class_that_raises_is_not_read_back(settings, tmp_path, backend):
    path = f"django.core.cache.backends.{backend}"
    settings.CACHES = {"default": {"BACKEND": path, "LOCATION": str(tmp_path)}}
    with mock.patch.object(type(caches["default"]), "get_many", side_effect=AssertionError):
        assert Cache("default").tell({"name": 1}, 60).confirm() is True


@pytest.fixture
def any_database_cache(transactional_db, settings):
    settings.CACHES = DATABASE_CACHE
    with database_cache():
        yield
