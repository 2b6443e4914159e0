"""A cache that fails costs speed and a line in the log."""

import logging
from unittest import mock

import pytest
from django.core.cache.backends.db import DatabaseCache

from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.cached import marks as marks_module
from bff_sessions.testing import make_session
from tests.stores.cached.support import (
    DATABASE_CACHE,
    FakeCache,
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


def test_marks_that_the_cache_refuses_are_written_later(ours, theirs, warm, cache, caplog):
    FakeCache.refuses = True
    session = ours.get_user_session(warm.key)
    ours.update_user_session(warm.key, update_of(session, ticket=b"new"), if_version=1)
    assert ours.get_user_session(warm.key).ticket == b"new"  # Who wrote it knows.
    ours.delete_user_session(warm.key)
    assert "could not be told" in caplog.text
    FakeCache.refuses = False
    assert ours.get_user_session("0" * 64) is None  # Any read is an occasion.
    assert theirs.get_user_session(warm.key) is None
    assert not ours._marks._owed


def test_marks_are_not_written_when_it_is_of_no_use_any_more(ours, warm, cache, clock):
    FakeCache.is_down = True
    ours.delete_user_session(warm.key)
    FakeCache.is_down = False
    clock.seconds = 31
    ours.get_user_session("0" * 64)
    assert not ours._marks._owed
    assert not marks(cache)


def test_what_is_owed_to_the_cache_is_bounded(ours, inner, monkeypatch):
    monkeypatch.setattr(marks_module, "_MAX_OWED", 3)
    sessions = [make_session() for _ in range(5)]
    for session in sessions:
        inner.create_user_session(session)
    FakeCache.is_down = True
    for session in sessions:
        ours.delete_user_session(session.key)
    assert list(ours._marks._owed) == [session.key for session in sessions[2:]]


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
    any_database_cache, inner, caplog
):
    # Django's swallows what its database says.
    ours, theirs = CachedUserSessionStore(inner), CachedUserSessionStore(inner)
    session = make_session()
    ours.create_user_session(session)
    ours.get_user_session(session.key)
    with mock.patch.object(DatabaseCache, "_base_set", return_value=False):
        assert ours.delete_user_session(session.key)
    assert "ended" in caplog.text
    assert is_warm(theirs, session.key)  # This is what MAX_STALE says.
    assert ours.get_user_session(session.key) is None
    assert theirs.get_user_session(session.key) is None


def test_a_mark_that_the_cache_in_the_database_keeps_only_later_is_tried_twice(
    any_database_cache, inner, caplog
):
    ours = CachedUserSessionStore(inner)
    original, tries = DatabaseCache._base_set, []

    def keep_only_later(self, *args, **kwargs):
        tries.append(args)
        return len(tries) % 2 == 0 and original(self, *args, **kwargs)

    with mock.patch.object(DatabaseCache, "_base_set", keep_only_later):
        assert not ours.delete_user_session("0" * 64)
    assert len(tries) == 3  # The tombstone on commit was there already.
    assert caplog.text == ""


@pytest.fixture
def any_database_cache(transactional_db, settings):
    settings.CACHES = DATABASE_CACHE
    with database_cache():
        yield
