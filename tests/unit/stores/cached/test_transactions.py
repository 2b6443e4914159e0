"""What a transaction wrote counts for others when it is committed; a rollback loses nothing."""

import threading
from contextlib import contextmanager, suppress
from unittest import mock

import pytest
from django.core.cache import caches
from django.db import connections, transaction

from bff_sessions.testing import make_session
from tests.support.caches import ALICES, is_warm, update_of


def in_another_thread(function):
    results = []

    def run():
        try:
            results.append(function())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


class Rollback(Exception):
    pass


@contextmanager
def rolled_back():
    with suppress(Rollback), transaction.atomic():
        yield
        raise Rollback


@pytest.mark.parametrize(
    "end",
    [
        lambda store, key: store.delete_user_session(key),
        lambda store, key: store.delete_user_sessions(ALICES),
        lambda store, key: store.rekey_user_session(key, make_session(), if_version=1),
    ],
    ids=["delete", "delete_many", "rekey"],
)
def test_a_delete_that_is_rolled_back_loses_no_session(orm, row, end):
    with rolled_back():
        end(orm, row.key)
        assert orm.get_user_session(row.key) is None
        assert in_another_thread(lambda: orm.get_user_session(row.key)) == row
    assert orm.get_user_session(row.key) == row


def test_a_delete_counts_when_it_is_committed(orm, row):
    with transaction.atomic():
        orm.delete_user_session(row.key)
        # Others may have it until then, and even a cache that forgets keeps nothing after it.
        caches["default"].clear()
        assert in_another_thread(lambda: orm.get_user_session(row.key)) == row
    assert orm.get_user_session(row.key) is None


def test_nothing_uncommitted_is_served_to_others(orm, row, cache):
    created = make_session()
    with rolled_back():
        orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
        orm.create_user_session(created)
        cache.clear()  # Also if the mark of this update is lost.
        assert orm.get_user_session(row.key).ticket == b"new"
        assert orm.get_user_session(created.key) == created
        assert in_another_thread(lambda: orm.get_user_session(row.key)) == row
        assert in_another_thread(lambda: orm.get_user_session(created.key)) is None
    assert orm.get_user_session(row.key) == row
    assert orm.get_user_session(created.key) is None


def test_what_was_read_in_a_transaction_is_cached_when_it_is_committed(orm):
    session = make_session()
    with transaction.atomic():
        orm.create_user_session(session)
        assert orm.get_user_session(session.key) == session
        assert not is_warm(orm, session.key)
    assert is_warm(orm, session.key)


def test_what_a_transaction_read_before_its_own_save_is_not_served_after_it(orm, row, cache):
    cache.clear()
    with transaction.atomic():
        assert orm.get_user_session(row.key) == row
        orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
        assert orm.get_user_session(row.key).ticket == b"new"
    assert orm.get_user_session(row.key).ticket == b"new"


def test_a_transaction_that_is_shown_the_past_does_not_put_it_into_the_cache(orm, row):
    orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
    with (
        transaction.atomic(),
        mock.patch.object(orm._inner, "get_user_session", lambda key: row),
    ):
        assert orm.get_user_session(row.key) == row
    assert orm.get_user_session(row.key).ticket == b"new"


def test_who_commits_by_hand_is_not_cached(orm, row):
    transaction.set_autocommit(False)
    try:
        orm.update_user_session(row.key, update_of(row, ticket=b"new"), if_version=1)
        assert orm.get_user_session(row.key).ticket == b"new"
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert orm.get_user_session(row.key).ticket == b"new"
    assert not is_warm(orm, row.key)
