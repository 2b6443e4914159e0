"""Clean-up through the cache."""

from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bff_sessions.contract import UserSessionStoreCleanup
from bff_sessions.exceptions import AbilityMissing
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.testing import make_session
from tests.support.caches import entries, is_warm, update_of
from tests.support.minimal import MinimalStore


def test_it_cleans_up_if_the_store_behind_it_does(cache, calls):
    store = CachedUserSessionStore(MinimalStore())
    assert store.get_ability(UserSessionStoreCleanup) is None
    with pytest.raises(AbilityMissing, match="must inherit from UserSessionStoreCleanup"):
        calls.delete_expired_sessions(store)


def test_the_command_says_so_in_a_line(cache, settings, capsys):
    settings.BFF_SESSIONS = {
        "STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
        "CACHED_STORE": "tests.support.minimal.MinimalStore",
    }
    call_command("cleanup_sessions")
    assert capsys.readouterr().out.startswith("MinimalStore deletes expired sessions by itself")


@pytest.mark.parametrize("is_told", [False, True], ids=["alone", "with_on_deleted"])
def test_clean_up_takes_what_it_removes_out_of_the_cache(ours, warm, inner, cache, is_told):
    inner.update_user_session(warm.key, update_of(warm, expires=warm.created), if_version=1)
    assert is_warm(ours, warm.key)  # By somebody who knows of no cache.
    batches = []
    options = {"on_deleted": batches.append} if is_told else {}
    assert ours.delete_expired_sessions(sleep=0, **options) == 1
    assert [session.key for (session,) in batches] == [warm.key] * is_told
    assert ours.get_user_session(warm.key) is None
    assert entries(cache) == []


@pytest.mark.parametrize("on_deleted", [None, len], ids=["alone", "counted"])
def test_clean_up_reads_no_tickets_for_who_asks_for_none(orm, on_deleted):
    for _ in range(3):
        orm.create_user_session(make_session(expires=datetime.now(UTC)))
    with CaptureQueriesContext(connection) as queries:
        assert orm.delete_expired_sessions(sleep=0, on_deleted=on_deleted, with_tickets=False) == 3
    assert [query["sql"] for query in queries if "ticket" in query["sql"]] == []
