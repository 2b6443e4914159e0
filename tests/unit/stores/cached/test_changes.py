"""Others see what was written."""

from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from asgiref.sync import async_to_sync

from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.testing import make_session
from tests.support.caches import is_warm, update_of


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_save_and_a_renewal_are_seen_at_once_and_cached_again(ours, theirs, warm, is_async):
    def write(verb, *args, **kwargs):
        if is_async:
            return async_to_sync(getattr(ours, f"a{verb}"))(*args, **kwargs)
        return getattr(ours, verb)(*args, **kwargs)

    assert write("update_user_session", warm.key, update_of(warm, ticket=b"new")) == 2
    assert theirs.get_user_session(warm.key).ticket == b"new"
    assert is_warm(ours, warm.key)
    renewed = warm.renewed + timedelta(minutes=1)
    assert write("touch_user_session", warm.key, renewed=renewed, expires=None)
    assert theirs.get_user_session(warm.key).expires is None
    assert is_warm(ours, warm.key)


def test_a_session_that_moved_is_served_under_its_new_key(ours, theirs, warm):
    moved = make_session()
    assert ours.rekey_user_session(warm.key, moved, if_version=1) == 2
    assert theirs.get_user_session(moved.key) == replace(moved, version=2)
    assert is_warm(ours, moved.key)


def test_who_is_told_that_it_changed_does_not_get_the_old_one_again(ours, theirs, warm):
    reports = []
    with mock.patch.object(theirs._inner, "on_commit", reports.append):
        theirs.update_user_session(warm.key, update_of(warm, ticket=b"second"))

    def open_early(*args, **kwargs):
        # A save before that reports only now, and somebody fills the cache with what it wrote.
        theirs._writer.changed(warm.key)
        stale = replace(warm, version=1)
        with mock.patch.object(theirs._inner, "get_user_session", lambda key: stale):
            theirs.get_user_session(warm.key)
        raise SessionChanged

    for verb, arguments in (
        ("update_user_session", (update_of(warm),)),
        ("rekey_user_session", (make_session(),)),
    ):
        with (
            mock.patch.object(ours._inner, verb, open_early),
            pytest.raises(SessionChanged),
        ):
            getattr(ours, verb)(warm.key, *arguments, if_version=1)
        assert ours.get_user_session(warm.key).version == 2


def test_who_is_told_that_it_is_missing_does_not_get_it_again(ours, theirs, warm, inner, cache):
    inner.delete_user_session(warm.key)  # By somebody who knows of no cache.
    assert is_warm(ours, warm.key)
    with pytest.raises(SessionMissing):
        ours.update_user_session(warm.key, update_of(warm), if_version=1)
    assert ours.get_user_session(warm.key) is None


def test_a_host_that_dies_before_it_tells_the_cache_has_said_that_it_would_write(
    ours, theirs, warm
):
    with mock.patch.object(ours._inner, "on_commit", lambda callback: None):
        ours.update_user_session(warm.key, update_of(warm, ticket=b"new"), if_version=1)
    assert theirs.get_user_session(warm.key).ticket == b"new"
