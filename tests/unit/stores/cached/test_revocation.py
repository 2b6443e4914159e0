"""Signed out is out."""

import logging
import time
from unittest import mock

import pytest
from asgiref.sync import async_to_sync

from bff_sessions.contract import UserSessionsPage
from bff_sessions.testing import make_session
from tests.support.caches import (
    ALICES,
    FakeCache,
    after_reading,
    entries,
    forget_marks,
    is_warm,
    tombstones,
    update_of,
)


@pytest.mark.parametrize(
    "end",
    [
        lambda store, session: store.delete_user_session(session.key),
        lambda store, session: store.delete_user_sessions(ALICES),
        lambda store, session: store.rekey_user_session(session.key, make_session(), if_version=1),
        lambda store, session: async_to_sync(store.adelete_user_session)(session.key),
        lambda store, session: async_to_sync(store.adelete_user_sessions)(ALICES),
    ],
    ids=["delete", "delete_many", "rekey", "adelete", "adelete_many"],
)
def test_signed_out_is_out_for_what_is_in_the_cache(ours, theirs, warm, cache, end):
    end(ours, warm)
    assert theirs.get_user_session(warm.key) is None
    assert entries(cache) == []


def test_signed_out_is_out_for_a_cache_refill(ours, theirs, warm, cache, clock):
    cache.clear()
    with after_reading(theirs, lambda: ours.delete_user_session(warm.key)):
        # This request was on its way before the revocation ...
        assert theirs.get_user_session(warm.key) == warm
    # ... and what it has put into the cache is not served to the next.
    assert entries(cache)
    assert theirs.get_user_session(warm.key) is None
    # Nor when the mark has gone: it lives longer.
    (tombstone,) = tombstones(cache)
    assert cache._expire_info[tombstone] > time.time() + 30 + 299
    forget_marks(cache)
    clock.seconds = 31
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_for_a_save_that_reports_late(ours, theirs, warm):
    reports = []
    with mock.patch.object(theirs._inner, "on_commit", reports.append):
        theirs.update_user_session(warm.key, update_of(warm, ticket=b"late"))
    ours.delete_user_session(warm.key)
    for report in reports:
        report()
    assert ours.get_user_session(warm.key) is None
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_cache_is_down(ours, theirs, warm, cache, clock, caplog):
    FakeCache.is_down = True
    assert ours.delete_user_sessions(ALICES)
    assert ours.get_user_session(warm.key) is None
    assert theirs.get_user_session(warm.key) is None
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "30 seconds" in error.getMessage()
    for record in caplog.records:
        assert "secret" not in record.getMessage()
        assert warm.key not in record.getMessage()
        assert record.exc_info is None

    FakeCache.is_down = False
    clock.seconds = 2
    # Who has ended it knows, whatever the cache says.
    assert not is_warm(ours, warm.key)
    # That it asked for something else was enough to tell the others.
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_host_that_knew_it_has_died(ours, theirs, warm, cache, clock):
    FakeCache.is_down = True
    ours.delete_user_session(warm.key)
    FakeCache.is_down = False
    clock.seconds = 29
    assert is_warm(theirs, warm.key)  # This is what MAX_STALE says.
    clock.seconds = 30
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_cache_was_flushed(ours, theirs, warm, cache, clock):
    cache.clear()

    def revoke_and_flush():
        ours.delete_user_session(warm.key)
        cache.clear()
        clock.seconds = 20  # And this request is slow.

    with after_reading(theirs, revoke_and_flush):
        theirs.get_user_session(warm.key)
    assert is_warm(theirs, warm.key)
    (leaves,) = cache._expire_info.values()
    assert leaves < time.time() + 10
    clock.seconds = 30
    assert theirs.get_user_session(warm.key) is None


def test_signed_out_is_out_when_the_host_dies_before_it_tells_the_cache(ours, theirs, warm):
    with mock.patch.object(ours._inner, "on_commit", lambda callback: None):
        ours.delete_user_sessions(ALICES)
    assert theirs.get_user_session(warm.key) is None


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("delete_user_session", ()),
        ("delete_user_sessions", (ALICES,)),
        ("rekey_user_session", (make_session(),)),
    ],
    ids=["delete", "delete_many", "rekey"],
)
def test_signed_out_is_out_for_what_is_cached_between_tombstone_and_end(
    ours, theirs, warm, inner, verb, arguments
):
    original = getattr(inner, verb)

    def refill_and_end(*args, **kwargs):
        # A save from before tells only now that it is committed, and somebody reads.
        theirs._writer.changed(warm.key)
        assert theirs.get_user_session(warm.key) == warm
        assert not is_warm(theirs, warm.key)
        return original(*args, **kwargs)

    with mock.patch.object(inner, verb, refill_and_end):
        if verb == "rekey_user_session":
            ours.rekey_user_session(warm.key, *arguments, if_version=1)
        else:
            getattr(ours, verb)(*(arguments or (warm.key,)))
    assert theirs.get_user_session(warm.key) is None


def test_what_was_read_too_long_ago_does_not_get_into_the_cache(ours, warm, cache, clock):
    cache.clear()

    def dawdle():
        clock.seconds = 31

    with after_reading(ours, dawdle):
        ours.get_user_session(warm.key)
    assert not cache._cache


def test_delete_reads_no_tickets_to_find_keys(ours, theirs, warm):
    with mock.patch.object(ours._inner, "get_user_sessions", side_effect=AssertionError):
        ours.delete_user_sessions(ALICES)
    assert theirs.get_user_session(warm.key) is None


def test_a_delete_tells_of_what_it_did_not_expect(ours, theirs, warm):
    # For example a session that was created, or read, after the look for them.
    nothing = UserSessionsPage(sessions=[], next_cursor=None)
    with mock.patch.object(ours._inner, "query_user_sessions", return_value=nothing):
        ours.delete_user_sessions(ALICES)
    assert theirs.get_user_session(warm.key) is None


def test_a_tombstone_keeps_readers_from_filling_the_cache(ours, theirs, warm, inner, cache):
    ours.delete_user_session(warm.key)
    inner.create_user_session(warm)  # As if it had been rolled back.
    assert theirs.get_user_session(warm.key) == warm
    assert not is_warm(theirs, warm.key)
    assert entries(cache) == []


def test_a_delete_that_fails_half_way_is_told_all_the_same(ours, theirs, warm, inner):
    def fail(filter, **arguments):
        inner.delete_user_session(warm.key)
        raise OSError

    with mock.patch.object(inner, "delete_user_sessions", fail), pytest.raises(OSError):
        ours.delete_user_sessions(ALICES)
    assert theirs.get_user_session(warm.key) is None


def test_clean_up_takes_what_it_removes_out_of_the_cache(ours, warm, inner, cache):
    inner.update_user_session(warm.key, update_of(warm, expires=warm.created), if_version=1)
    assert is_warm(ours, warm.key)  # By somebody who knows of no cache.
    batches = []
    assert ours.delete_expired_sessions(on_deleted=batches.append, sleep=0) == 1
    assert [session.key for (session,) in batches] == [warm.key]
    assert ours.get_user_session(warm.key) is None
