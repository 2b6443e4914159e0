"""Leases are the business of the store behind the cache; who has one is not served from it."""

import threading
import time

import pytest
from django.db import connection

from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import AbilityMissing, SessionMissing
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.testing import make_session
from tests.support.caches import FakeCache, forget_marks, is_warm, update_of
from tests.support.minimal import MinimalStore


def test_who_has_a_lease_sees_the_last_save_even_if_the_cache_was_not_told(
    ours, theirs, warm, cache, calls
):
    assert ours.acquire_lease(warm.key, "one", 60)
    assert not theirs.acquire_lease(warm.key, "other", 60)
    ours.update_user_session(warm.key, update_of(warm, ticket=b"new"), if_version=1)
    forget_marks(cache)  # And what was there before is served again.
    assert ours.release_lease(warm.key, "one")
    assert theirs.get_user_session(warm.key).ticket == warm.ticket

    assert calls.acquire_lease(theirs, warm.key, "other", 60)
    assert calls.get_user_session(theirs, warm.key).ticket == b"new"
    assert calls.release_lease(theirs, warm.key, "one") is False
    assert calls.get_user_session(theirs, warm.key).ticket == b"new"
    assert calls.release_lease(theirs, warm.key, "other")
    assert theirs.get_user_session(warm.key).ticket == warm.ticket


def test_a_lease_whose_holder_died_is_forgotten(ours, warm, clock):
    other = make_session()
    ours.create_user_session(other)
    ours.acquire_lease(warm.key, "one", 10)
    assert not is_warm(ours, warm.key)
    clock.seconds = 11
    assert is_warm(ours, warm.key)
    ours.acquire_lease(other.key, "one", 10)
    assert list(ours._reader._distrusted) == [("", other.key)]


def test_who_gets_no_lease_of_an_ended_session_is_not_served_it(ours, warm, inner):
    inner.delete_user_session(warm.key)  # By somebody who knows of no cache.
    assert is_warm(ours, warm.key)
    with pytest.raises(SessionMissing):
        ours.acquire_lease(warm.key, "one", 60)
    assert ours.get_user_session(warm.key) is None


def test_a_store_without_leases_has_none_behind_a_cache_either(cache):
    store = CachedUserSessionStore(MinimalStore())
    with pytest.raises(AbilityMissing, match="MinimalStore"):
        store.acquire_lease("0" * 64, "one", 60)


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not_told"])
def test_exclusive_requests_refresh_once(transactional_db, cache, settings, is_told):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"}
    FakeCache.refuses = not is_told
    session = SessionStore()
    session["token"] = 1
    session.save()
    used, failures = [], []

    def request():
        try:
            mine = SessionStore(session.session_key)
            mine.get("token")
            with mine.exclusive():
                if mine["token"] == 1:
                    used.append(1)
                    time.sleep(0.01)
                    mine["token"] = 2
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (used, failures) == ([1], [])
    assert SessionStore(session.session_key)["token"] == 2
