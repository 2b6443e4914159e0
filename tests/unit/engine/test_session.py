import asyncio
import copy
import gc
import logging
import pickle
import threading
import weakref
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.test import override_settings
from django.utils import timezone

from bff_sessions import conf
from bff_sessions.contract import UserSessionsFilter, UserSessionStoreCleanup, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import SessionChanged, SessionConflict
from bff_sessions.models import Session
from bff_sessions.protection import store_key
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store

ALICE = {"oidc": {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}}
ALICES = UserSessionsFilter(subject_id="alice")


def row_of(session):
    return get_store().get_user_session(store_key(conf.PARTITION, session.session_key))


# One statement each


@pytest.fixture
def statements(transactional_db, django_assert_num_queries):
    return django_assert_num_queries


def test_statements_of_a_first_save(statements, calls):
    session = SessionStore()
    session["cart"] = [1]
    with statements(1):
        calls.save(session)


def test_statements_of_a_load(statements, calls):
    session = calls.start(cart=[1])
    with statements(1):
        assert calls.get(session, "cart") == [1]


def test_statements_of_a_load_of_an_unknown_key(statements, calls):
    session = SessionStore("k" * 32)
    with statements(1):
        assert calls.get(session, "cart") is None
    with statements(0):
        calls.get(session, "cart")
    assert session.session_key is None


def test_statements_of_a_save(statements, calls):
    session = calls.start(cart=[1])
    calls.update(session, {"cart": [2]})
    with statements(1):
        calls.save(session)
    with statements(1):
        calls.save(session)


def test_statements_of_cycle_key(statements, calls):
    session = calls.start(cart=[1])
    calls.get(session, "cart")
    with statements(1):
        calls.cycle_key(session)


def test_statements_of_cycle_key_of_a_session_not_loaded(statements, calls):
    session = calls.start(cart=[1])
    with statements(2):
        calls.cycle_key(session)


def test_statements_of_delete(statements, calls):
    session = calls.start(cart=[1])
    with statements(1):
        calls.delete(session)


def test_statements_of_flush(statements, calls):
    session = calls.start(cart=[1])
    calls.get(session, "cart")
    with statements(1):
        calls.flush(session)
    with statements(0):
        calls.flush(session)


def test_statements_of_flush_of_a_session_not_loaded(statements, calls):
    session = calls.start(cart=[1])
    with statements(2):
        calls.flush(session)


def test_statements_of_a_delete_do_not_grow_with_listeners(statements, calls):
    from django.db.models.signals import pre_delete

    def listener(**kwargs):
        raise AssertionError("A session is no object for others to look at.")

    session = calls.start(cart=[1])
    pre_delete.connect(listener)
    try:
        with statements(1):
            calls.delete(session)
    finally:
        pre_delete.disconnect(listener)


def test_statements_of_a_sign_in_with_provider(statements, calls):
    session = calls.start(cart=[1])
    calls.get(session, "cart")
    calls.cycle_key(session)
    calls.update(session, ALICE)
    with statements(2):
        calls.save(session)
    with statements(1):
        calls.save(session)


# Cookies


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        " ",
        "short",
        "x" * 41,
        "x" * 100_000,
        "é" * 32,
        "a" * 20 + "\0",
        "a\n" * 10,
        "\ud800" * 9,
    ],
    ids=repr,
)
def test_garbage_for_a_key_is_an_anonymous_session_without_a_statement(cookie, calls, statements):
    with statements(0):
        session = SessionStore(cookie)
        assert session.session_key is None
        assert calls.get(session, "cart") is None
        assert session.is_empty()


def test_an_unknown_key_makes_no_row(calls, transactional_db):
    session = SessionStore("k" * 32)
    calls.get(session, "cart")
    assert Session.objects.count() == 0


def test_a_second_load_is_a_look_that_changes_nothing(any_store, calls, load):
    session = calls.start(a=1)
    key = session.session_key
    calls.update(session, {"mine": 1})
    calls.change(key, theirs=1)
    assert calls.load(session) == {"a": 1, "theirs": 1}
    assert dict(calls.items(session)) == {"a": 1, "mine": 1}
    calls.save(session)
    assert load(key) == {"a": 1, "mine": 1, "theirs": 1}


def test_a_key_that_the_browser_chose_is_never_used(calls, transactional_db):
    session = SessionStore("k" * 32)
    calls.get(session, "cart")
    calls.update(session, {"cart": [1]})
    calls.save(session)
    assert session.session_key not in (None, "k" * 32)
    assert not SessionStore().exists("k" * 32)


def test_the_key_in_the_row_is_not_the_cookie(calls, transactional_db):
    session = calls.start(cart=["secret"])
    row = Session.objects.get()
    assert session.session_key not in repr(vars(row))
    assert b"secret" not in bytes(row.ticket)


def test_store_key_names_the_session_to_the_store(any_store, calls):
    session = SessionStore()
    assert session.store_key is None
    calls.save(session)
    assert session.store_key == store_key(conf.PARTITION, session.session_key)
    assert get_store().get_user_session(session.store_key) is not None
    before = session.store_key
    calls.cycle_key(session)
    assert session.store_key != before
    calls.flush(session)
    assert session.store_key is None


# Concurrent requests


def test_changes_of_different_keys_both_survive(any_store, calls, load):
    key = calls.start(kept=0, removed=0).session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.update(one, {"one": 1})
    calls.update(two, {"two": 2})
    calls.pop(two, "removed")
    calls.save(one)
    calls.save(two)
    assert load(key) == {"kept": 0, "one": 1, "two": 2}
    assert dict(two.items()) == load(key)


def test_the_same_key_is_the_last_writers(any_store, calls, load):
    key = calls.start(colour="red").session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.update(one, {"colour": "green"})
    calls.update(two, {"colour": "blue"})
    calls.save(one)
    calls.save(two)
    assert load(key) == {"colour": "blue"}


def test_a_value_changed_in_place_is_merged(any_store, calls, load):
    key = calls.start(cart=[1], other=1).session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.get(one, "cart").append(2)
    calls.update(two, {"other": 2})
    calls.save(two)
    calls.save(one)
    assert load(key) == {"cart": [1, 2], "other": 2}


def test_a_part_of_a_value_stays_a_part_of_it_through_a_merge(any_store, calls, load):
    session = calls.start(cart=[1], untouched=[0], other=1)
    key = session.session_key
    cart, untouched = calls.get(session, "cart"), calls.get(session, "untouched")
    cart.append(2)
    calls.change(key, other=2)
    calls.save(session)
    cart.append(3)
    untouched.append(1)
    calls.save(session)
    assert load(key) == {"cart": [1, 2, 3], "untouched": [0, 1], "other": 2}


class PickleSerializer:
    def dumps(self, obj):
        return pickle.dumps(obj)

    def loads(self, data):
        return pickle.loads(data)


def test_what_reads_in_another_order_is_no_change(any_store, calls, load, settings):
    settings.SESSION_SERIALIZER = f"{__name__}.PickleSerializer"
    unstable = {7, 15}
    again = pickle.loads(pickle.dumps(unstable))
    assert pickle.dumps(again) != pickle.dumps(unstable)
    session = calls.start(chosen=unstable, other=1)
    key = session.session_key
    calls.update(session, {"other": 2})
    calls.change(key, chosen={1})
    calls.save(session)
    assert load(key) == {"chosen": {1}, "other": 2}


def test_keys_that_are_no_text_are_merged_as_they_are_read(any_store, calls, load):
    session = calls.start(a=1)
    key = session.session_key
    calls.update(session, {5: (1, 2)})
    calls.change(key, b=2)
    calls.save(session)
    assert load(key) == {"a": 1, "b": 2, "5": [1, 2]}


def test_tasks_of_one_request_that_load_at_the_same_time(any_store, load, monkeypatch):
    session = SessionStore()
    session["a"] = 1
    session.save()
    key, session = session.session_key, SessionStore(session.session_key)
    is_read, saved = asyncio.Event(), asyncio.Event()
    read = type(get_store()).aget_user_session

    async def late(self, store_key):
        row = await read(self, store_key)
        if not is_read.is_set():
            is_read.set()
            await saved.wait()
        return row

    async def tasks():
        first = asyncio.create_task(session.aget("a"))
        await is_read.wait()
        other = SessionStore(key)
        await other.aset("theirs", 1)
        await other.asave()
        await session.aget("a")
        saved.set()
        await first
        await session.aset("mine", 1)
        await session.asave()

    monkeypatch.setattr(type(get_store()), "aget_user_session", late)
    async_to_sync(tasks)()
    assert load(key) == {"a": 1, "theirs": 1, "mine": 1}


def test_true_for_one_is_a_change(any_store, calls, load):
    key = calls.start(flag=1, other=1).session_key
    one, two = SessionStore(key), SessionStore(key)
    calls.update(one, {"flag": True})
    calls.update(two, {"other": 2})
    calls.save(two)
    calls.save(one)
    assert load(key)["flag"] is True


def test_untouched_keys_do_not_undo_the_changes_of_others(any_store, calls, load):
    key = calls.start(token="old", other=1).session_key
    slow = SessionStore(key)
    calls.get(slow, "token")
    calls.change(key, token="new")
    calls.update(slow, {"other": 2})
    calls.save(slow)
    assert load(key) == {"token": "new", "other": 2}


def test_a_removal_by_another_request_stands(any_store, calls, load):
    key = calls.start(gone=1, other=1).session_key
    slow, other = SessionStore(key), SessionStore(key)
    calls.get(slow, "gone")
    calls.pop(other, "gone")
    calls.save(other)
    calls.update(slow, {"other": 2})
    calls.save(slow)
    assert load(key) == {"other": 2}


def test_clear_replaces_everything(any_store, calls, load):
    key = calls.start(a=1).session_key
    session = SessionStore(key)
    calls.get(session, "a")
    session.clear()
    calls.change(key, b=2)
    calls.update(session, {"c": 3})
    calls.save(session)
    assert load(key) == {"c": 3}
    calls.change(key, d=4)
    calls.update(session, {"e": 5})
    calls.save(session)
    assert load(key) == {"c": 3, "d": 4, "e": 5}


def test_clear_without_load_replaces_everything(any_store, calls, load):
    key = calls.start(a=1).session_key
    session = SessionStore(key)
    session.clear()
    calls.update(session, {"c": 3})
    calls.save(session)
    assert load(key) == {"c": 3}


def test_clear_of_an_ended_session_revives_nothing(any_store, calls, load):
    key = calls.start(a=1).session_key
    calls.delete(SessionStore(key))
    session = SessionStore(key)
    session.clear()
    calls.update(session, {"c": 3})
    with pytest.raises(UpdateError):
        calls.save(session)
    assert load(key) is None


def test_cycle_key_keeps_what_others_saved_meanwhile(any_store, calls, load):
    key = calls.start(a=1).session_key
    session = SessionStore(key)
    calls.update(session, {"b": 2})
    calls.change(key, c=3)
    calls.cycle_key(session)
    assert load(key) is None
    assert load(session.session_key) == {"a": 1, "b": 2, "c": 3}


def test_threads_lose_nothing(any_store, load):
    session = SessionStore()
    session["start"] = 0
    session.save()
    key = session.session_key
    failures = []

    def write(name):
        try:
            for number in range(5):
                session = SessionStore(key)
                session[f"{name}-{number}"] = number
                session.save()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(load(key)) == 21


def test_retries_are_bounded_and_end_in_an_update_error(any_store, calls, monkeypatch):
    session = calls.start(a=1)
    calls.update(session, {"a": 2})
    tries, pauses = [], []
    overwrite = type(get_store()).overwrite_user_session

    def always_changed(self, read, session):
        tries.append(read.version)
        self.update_user_session(read.key, UserSessionUpdate.of(read))  # Somebody was quicker.
        return overwrite(self, read, session)

    def no_pause(low, high):
        pauses.append(high)
        return 0.0

    monkeypatch.setattr(type(get_store()), "overwrite_user_session", always_changed)
    monkeypatch.setattr("bff_sessions.engine.saving.random.uniform", no_pause)
    with pytest.raises(SessionConflict) as caught:
        calls.save(session)
    # So Django answers it, in its middleware and in a view.
    assert isinstance(caught.value, SessionInterrupted)
    assert 10 < len(tries) < 100
    # The first retry is at once, and the others wait longer and longer, within bounds.
    assert len(pauses) == len(tries) - 1
    assert pauses == sorted(pauses)
    assert 1 < sum(pauses) < 20


def test_who_is_shown_the_past_does_not_try_for_long(any_store, calls, monkeypatch):
    session = calls.start(a=1)
    calls.update(session, {"a": 2})
    tries = []

    def changed(self, read, session):
        tries.append(read.key)
        raise SessionChanged

    monkeypatch.setattr(type(get_store()), "overwrite_user_session", changed)
    with pytest.raises(SessionConflict):
        calls.save(session)
    assert len(tries) == 1
    with pytest.raises(SessionInterrupted):
        calls.cycle_key(session)


# Transactions


def test_a_save_that_was_rolled_back_is_not_taken_for_saved(transactional_db, calls, load):
    session = calls.start(a=1)
    calls.get(session, "a")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        calls.update(session, {"b": 2})
        calls.save(session)
        raise ZeroDivisionError
    calls.change(session.session_key, a=3)
    calls.update(session, {"c": 4})
    calls.save(session)
    assert load(session.session_key) == {"a": 3, "b": 2, "c": 4}


def rolled_back():
    return pytest.raises(ZeroDivisionError)


def test_two_saves_that_were_rolled_back_are_both_saved_again(transactional_db, calls, load):
    session = calls.start(a=1, gone=1)
    key = session.session_key
    assert calls.pop(session, "gone") == 1
    with rolled_back(), transaction.atomic():
        calls.update(session, {"a": 2})
        calls.save(session)
        calls.update(session, {"b": 2})
        calls.save(session)
        raise ZeroDivisionError
    calls.update(session, {"c": 1})
    calls.save(session)
    assert load(key) == {"a": 2, "b": 2, "c": 1}


def test_a_savepoint_that_was_rolled_back(transactional_db, calls, load):
    session = calls.start(a=1)
    key = session.session_key
    with transaction.atomic():
        calls.update(session, {"a": 2})
        calls.save(session)
        with rolled_back(), transaction.atomic():
            calls.update(session, {"b": 2})
            calls.save(session)
            raise ZeroDivisionError
    calls.change(key, other=3)
    calls.update(session, {"c": 1})
    calls.save(session)
    assert load(key) == {"a": 2, "b": 2, "c": 1, "other": 3}


@pytest.mark.parametrize("data", [{"cart": [1]}, {"oidc": {"iss": "i", "sub": "alice"}}])
@pytest.mark.parametrize("then", ["cycle_key", "save"])
def test_a_move_that_was_rolled_back_leads_back_to_the_old_key(
    transactional_db, calls, load, data, then
):
    session = calls.start(**data)
    key = session.session_key
    with rolled_back(), transaction.atomic():
        calls.cycle_key(session)
        raise ZeroDivisionError
    assert load(key) == data
    getattr(calls, then)(session)
    assert (session.session_key == key) is (then == "save")
    assert load(session.session_key) == data
    assert Session.objects.count() == 1
    assert session.modified


def test_flush_after_a_move_that_was_rolled_back_ends_the_session(transactional_db, calls, load):
    session = calls.start(cart=[1])
    with rolled_back(), transaction.atomic():
        calls.cycle_key(session)
        raise ZeroDivisionError
    calls.flush(session)
    assert not Session.objects.exists()


def test_a_sign_in_after_a_move_that_was_rolled_back_moves_again(transactional_db, calls, load):
    session = calls.start(cart=[1])
    key = session.session_key
    with rolled_back(), transaction.atomic():
        calls.cycle_key(session)
        raise ZeroDivisionError
    calls.update(session, ALICE)
    calls.save(session)
    assert session.session_key != key
    assert load(key) is None
    assert load(session.session_key) == {"cart": [1], **ALICE}


def test_a_save_by_hand_that_others_followed_is_merged(transactional_db, calls, load):
    session = SessionStore()
    transaction.set_autocommit(False)
    try:
        session["a"] = 1
        session.save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    key = session.session_key
    calls.change(key, b=2)
    calls.update(session, {"c": 3})
    calls.save(session)
    assert load(key) == {"a": 1, "b": 2, "c": 3}


def test_saves_within_one_transaction_follow_each_other(transactional_db, calls, load):
    session = calls.start(a=1)
    with transaction.atomic():
        for number in range(3):
            calls.update(session, {"a": number})
            calls.save(session)
    assert load(session.session_key) == {"a": 2}
    calls.update(session, {"b": 1})
    calls.save(session)
    assert load(session.session_key) == {"a": 2, "b": 1}


def test_a_session_created_in_a_transaction_that_failed_is_not_there(transactional_db, calls, load):
    session = SessionStore()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        calls.update(session, {"a": 1})
        calls.save(session)
        raise ZeroDivisionError
    calls.update(session, {"a": 2})
    with pytest.raises(UpdateError):
        calls.save(session)
    assert load(session.session_key) is None


def test_saves_where_the_caller_commits_by_hand(transactional_db, load):
    session = SessionStore()
    transaction.set_autocommit(False)
    try:
        session["a"] = 1
        session.save()
        session["b"] = 2
        session.save()
        transaction.commit()
        session["c"] = 3
        session.save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert load(session.session_key) == {"a": 1, "b": 2, "c": 3}


# Signed out is out


def test_signed_out_is_out_for_a_load(any_store, calls):
    session = calls.start(**ALICE)
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    assert calls.get(session, "oidc") is None
    assert session.session_key is None


def test_signed_out_is_out_for_a_save_in_flight(any_store, calls, load):
    session = calls.start(**ALICE)
    calls.update(session, {"a": 1})
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    with pytest.raises(UpdateError):
        calls.save(session)
    assert load(session.session_key) is None


def test_signed_out_is_out_for_a_merge_retry(any_store, calls, load, monkeypatch):
    key = calls.start(**ALICE).session_key
    session = SessionStore(key)
    calls.update(session, {"a": 1})
    store = get_store()
    overwrite = type(store).overwrite_user_session

    def lose_the_race(self, read, session):
        monkeypatch.setattr(type(store), "overwrite_user_session", overwrite)
        revoke_sessions(UserSessionsFilter(subject_id="alice"))
        raise SessionChanged

    monkeypatch.setattr(type(store), "overwrite_user_session", lose_the_race)
    with pytest.raises(UpdateError):
        calls.save(session)
    assert load(key) is None


def test_signed_out_is_out_for_cycle_key(any_store, calls):
    session = calls.start(**ALICE)
    calls.get(session, "oidc")
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    with pytest.raises(SessionInterrupted):
        calls.cycle_key(session)
    assert get_store().get_user_sessions(UserSessionsFilter(subject_id="alice")) == []


def test_signed_out_is_out_for_load_and_save(any_store, calls):
    session = calls.start(**ALICE)
    assert calls.get(session, "oidc")
    revoke_sessions(ALICES)
    assert calls.load(session) == {}
    with pytest.raises(UpdateError):
        calls.save(session)
    assert get_store().get_user_sessions(ALICES) == []


def test_signed_out_is_out_for_create(any_store, calls):
    session = calls.start(**ALICE)
    assert calls.get(session, "oidc")
    revoke_sessions(ALICES)
    with pytest.raises(SessionInterrupted):
        calls.create(session)
    with pytest.raises(CreateError):
        calls.save(session, must_create=True)
    assert get_store().get_user_sessions(ALICES) == []


def test_create_moves_who_is_signed_in(any_store, calls, load):
    session = calls.start(**ALICE, a=1)
    key = session.session_key
    assert calls.get(session, "a") == 1
    calls.create(session)
    assert load(key) is None
    assert load(session.session_key) == {**ALICE, "a": 1}


def test_create_copies_an_anonymous_session(any_store, calls, load):
    session = calls.start(a=1)
    key = session.session_key
    assert calls.get(session, "a") == 1
    calls.create(session)
    assert session.session_key != key
    assert load(key) == load(session.session_key) == {"a": 1}


def test_signing_out_in_place_is_not_undone_by_a_refresh_in_flight(any_store, calls, load):
    refresh = calls.start(**ALICE, a=1)
    key = refresh.session_key
    calls.update(refresh, {"oidc": {**ALICE["oidc"], "access_token": "fresh"}})
    sign_out = SessionStore(key)
    calls.pop(sign_out, "oidc")
    calls.save(sign_out)
    with pytest.raises(UpdateError):
        calls.save(refresh)
    assert get_store().get_user_sessions(ALICES) == []
    assert load(key) == {"a": 1}


def test_nothing_of_one_subject_is_merged_into_the_session_of_another(any_store, calls, load):
    bobs = calls.change(None, **ALICE)  # Made in this request: the key stays.
    key = bobs.session_key
    late = SessionStore(key)
    calls.update(late, {"diary": "alice's"})
    calls.update(bobs, {"oidc": {"iss": "https://idp.example", "sub": "bob"}})
    calls.save(bobs)
    assert bobs.session_key == key
    with pytest.raises(UpdateError):
        calls.save(late)
    assert "diary" not in load(key)


def test_signing_out_finds_the_session_that_has_just_moved(any_store, calls):
    session = calls.start(**ALICE)
    assert calls.get(session, "oidc")
    calls.cycle_key(SessionStore(session.session_key))
    assert len(get_store().get_user_sessions(ALICES)) == 1
    calls.flush(session)
    assert get_store().get_user_sessions(ALICES) == []


def test_cycle_key_of_an_ended_anonymous_session_starts_afresh(any_store, calls, load):
    session = calls.start(cart=[1])
    calls.update(session, {"mine": 1})
    key = session.session_key
    calls.delete(SessionStore(key))
    calls.cycle_key(session)
    assert session.session_key != key
    assert load(session.session_key) == {"mine": 1}


def test_cycle_key_without_a_session_creates_one(any_store, calls, load):
    session = SessionStore()
    calls.cycle_key(session)
    assert load(session.session_key) == {}
    assert session.modified


def test_the_old_key_is_worthless_after_cycle_key(any_store, calls, load):
    session = calls.start(cart=[1])
    key = session.session_key
    calls.cycle_key(session)
    assert load(key) is None
    assert load(session.session_key) == {"cart": [1]}


# Signing in


def test_signing_in_replaces_the_same_session_of_the_provider(any_store, calls, load):
    old = calls.start(**ALICE)
    other_sid = calls.start(oidc={**ALICE["oidc"], "sid": "s2"})
    other_issuer = calls.start(oidc={**ALICE["oidc"], "iss": "https://other.example"})
    new = calls.start(**ALICE)
    assert load(old.session_key) is None
    for session in (new, other_sid, other_issuer):
        assert load(session.session_key) is not None


def test_signing_in_with_a_wrong_key_ends_nothing(any_store, calls, load):
    key = calls.start(**ALICE).session_key
    with override_settings(SECRET_KEY="another key, and a wrong one"):
        session = SessionStore(key)
        calls.cycle_key(session)
        calls.update(session, ALICE)
        calls.save(session)
    assert load(key) == ALICE


def test_a_key_made_in_this_request_is_not_moved_once_more(any_store, calls):
    session = calls.start(a=1)
    calls.cycle_key(session)
    key = session.session_key
    calls.update(session, ALICE)
    calls.save(session)
    assert session.session_key == key


def test_signing_in_spares_other_partitions(transactional_db, settings, calls, load):
    settings.BFF_SESSIONS = {"PARTITION": "shop"}
    shop = calls.start(**ALICE)
    settings.BFF_SESSIONS = {"PARTITION": "blog"}
    calls.start(**ALICE)
    assert load(shop.session_key) is None  # Not this application's.
    settings.BFF_SESSIONS = {"PARTITION": "shop"}
    assert load(shop.session_key) is not None


def test_without_a_sid_of_the_provider_nothing_is_replaced(any_store, calls, load):
    claims = {"oidc": {"iss": "https://idp.example", "sub": "alice"}}
    sessions = [calls.start(**claims) for _ in range(2)]
    assert all(load(session.session_key) for session in sessions)
    first, second = (row_of(session).session_id for session in sessions)
    assert first and second and first != second


def test_signing_in_under_a_key_that_came_with_the_request_moves_it(any_store, calls, load):
    key = calls.start(cart=[1]).session_key
    session = SessionStore(key)
    calls.update(session, ALICE)
    calls.save(session)
    assert session.session_key != key
    assert session.modified
    assert load(key) is None
    assert load(session.session_key) == {"cart": [1], **ALICE}


def test_the_move_is_part_of_the_same_update(statements, calls):
    session = calls.start(cart=[1])
    calls.update(session, {"oidc": {"iss": "https://idp.example", "sub": "alice"}})
    with statements(1):
        calls.save(session)
    moved = session.session_key
    calls.update(session, {"cart": [2]})
    calls.save(session)
    assert session.session_key == moved


def test_another_subject_under_the_same_key_moves_it(any_store, calls, load):
    key = calls.start(**ALICE).session_key
    session = SessionStore(key)
    calls.update(session, {"oidc": {**ALICE["oidc"], "sub": "bob"}})
    calls.save(session)
    assert load(key) is None
    assert row_of(session).subject_id == "bob"


def test_signing_out_keeps_the_key(any_store, calls, load):
    key = calls.start(cart=[1], **ALICE).session_key
    session = SessionStore(key)
    calls.pop(session, "oidc")
    calls.save(session)
    assert session.session_key == key
    assert load(key) == {"cart": [1]}
    assert row_of(session).session_id is None


def test_a_save_that_signs_in_over_a_cleared_session_moves_it(any_store, calls, load):
    key = calls.start(cart=[1]).session_key
    session = SessionStore(key)
    session.clear()
    calls.update(session, ALICE)
    calls.save(session)
    assert load(key) is None
    assert load(session.session_key) == ALICE


# Moments


def test_created_stays_and_renewed_moves(any_store, calls):
    session = calls.start(**ALICE)
    before = row_of(session)
    calls.update(session, {"a": 1})
    calls.save(session)
    after = row_of(session)
    assert after.created == before.created
    assert after.renewed > before.renewed


def test_created_restarts_when_the_identity_changes(any_store, calls):
    session = calls.start(cart=[1])
    before = row_of(session)
    calls.update(session, ALICE)
    calls.save(session)
    assert row_of(session).created > before.created


def test_expires_stays_within_a_granule_and_never_comes_early(any_store, calls, settings):
    settings.SESSION_COOKIE_AGE = 1000
    session = calls.start(a=1)
    first = row_of(session)
    assert first.expires - first.renewed >= timedelta(seconds=1000)
    assert first.expires - first.renewed <= timedelta(seconds=1010)
    seen = set()
    for _ in range(3):
        calls.save(session)
        row = row_of(session)
        assert row.expires >= row.renewed + timedelta(seconds=1000)
        seen.add(row.expires)
    assert len(seen) <= 2


def test_expires_shortens_at_once(any_store, calls):
    session = calls.start(a=1)
    calls.set_expiry(session, 30)
    calls.save(session)
    row = row_of(session)
    assert timedelta(seconds=30) <= row.expires - row.renewed <= timedelta(seconds=30.3)


@pytest.mark.parametrize("use_tz", [True, False])
def test_a_moment_for_expiry_is_kept_exactly(any_store, calls, settings, use_tz):
    settings.USE_TZ = use_tz
    settings.TIME_ZONE = "Europe/Berlin"
    moment = timezone.now() + timedelta(hours=3)
    session = calls.start(a=1)
    calls.set_expiry(session, moment)
    calls.save(session)
    expected = moment if use_tz else timezone.make_aware(moment)
    assert row_of(session).expires == expected


def test_an_expired_session_is_absent(any_store, calls, load):
    session = calls.start(a=1)
    calls.set_expiry(session, -1)
    calls.save(session)
    assert load(session.session_key) is None
    assert not calls.exists(SessionStore(), session.session_key)


def test_save_of_a_session_that_expired_meanwhile_never_creates(any_store, calls, load):
    session = calls.start(a=1)
    calls.set_expiry(session, -1)
    calls.save(session)
    is_kept = get_store().delete_user_session(session.store_key)
    session = calls.start(a=1)
    calls.set_expiry(session, -1)
    calls.save(session)
    calls.set_expiry(session, 60)
    if is_kept:
        calls.save(session)
        assert load(session.session_key)["a"] == 1
    else:  # The store forgot it.
        with pytest.raises(UpdateError):
            calls.save(session)
        assert load(session.session_key) is None


# Creation


def test_a_taken_key_is_a_create_error(any_store, calls):
    session = calls.start(a=1)
    with pytest.raises(CreateError):
        calls.save(SessionStore(session.session_key), must_create=True)


def test_a_collision_is_not_tried_again(any_store, calls):
    taken = calls.start(a=1).session_key
    session = SessionStore()
    with (
        mock.patch("bff_sessions.engine.saving.new_session_key", return_value=taken),
        pytest.raises(CreateError),
    ):
        calls.create(session)
    assert session.session_key is None


def test_another_integrity_error_is_not_taken_for_a_collision(transactional_db, calls, monkeypatch):
    create = type(get_store()).create_user_session

    def broken(self, session):
        create(self, replace(session, partition=None))

    monkeypatch.setattr(type(get_store()), "create_user_session", broken)
    session = SessionStore()
    with pytest.raises(IntegrityError):
        calls.create(session)
    assert session.session_key is None


def test_what_cannot_be_serialized_is_refused_before_anything_is_written(statements, calls):
    session = calls.start(a=1)
    calls.update(session, {"b": object()})
    with statements(0), pytest.raises(TypeError):
        calls.save(session)


def test_too_long_a_subject_is_refused_and_loses_nothing(any_store, calls, load):
    session = calls.start(a=1)
    calls.update(session, {"oidc": {"iss": "https://idp.example", "sub": "x" * 256}})
    with pytest.raises(ValueError, match="it has 256"):
        calls.save(session)
    assert load(session.session_key) == {"a": 1}


def test_a_database_that_is_down_propagates_and_nothing_is_half_written(
    transactional_db, calls, load, monkeypatch
):
    session = calls.start(a=1)
    calls.update(session, {"a": 2})

    def down(*args, **kwargs):
        raise OperationalError("server has gone away")

    for verb in ("save", "cycle_key", "delete"):
        with monkeypatch.context() as patch:
            for name in ("overwrite_user_session", "delete_user_session"):
                patch.setattr(type(get_store()), name, down)
            with pytest.raises(DatabaseError):
                getattr(calls, verb)(session)
        assert load(session.session_key) == {"a": 1}
    calls.save(session)
    assert load(session.session_key) == {"a": 2}


# Tickets that do not open


@pytest.fixture
def unreadable(any_store, calls, settings):
    """A session whose ticket was made with another key."""
    with override_settings(SECRET_KEY="some other key"):
        return calls.start(a=1, **ALICE).session_key


def reads(key):
    with override_settings(SECRET_KEY="some other key"):
        return dict(SessionStore(key).items())


def test_a_ticket_that_does_not_open_is_anonymous_and_logged(unreadable, calls, caplog):
    session = SessionStore(unreadable)
    with caplog.at_level(logging.WARNING, "django.security.SuspiciousSession"):
        assert calls.get(session, "a") is None
    assert session.session_key == unreadable
    (record,) = caplog.records
    public_id = get_store().get_user_session(store_key(conf.PARTITION, unreadable)).public_id
    assert public_id in record.getMessage()
    assert unreadable not in record.getMessage()


def test_a_save_over_it_goes_to_a_new_key(unreadable, calls, load):
    session = SessionStore(unreadable)
    calls.update(session, {"b": 2})
    calls.save(session)
    assert session.session_key != unreadable
    assert load(session.session_key) == {"b": 2}
    assert reads(unreadable)["a"] == 1


def test_a_blind_save_over_it_goes_to_a_new_key(unreadable, calls, load):
    session = SessionStore(unreadable)
    session.clear()
    calls.update(session, {"b": 2})
    calls.save(session)
    assert session.session_key != unreadable
    assert reads(unreadable)["a"] == 1


def test_an_empty_save_over_it_does_nothing(unreadable, calls):
    session = SessionStore(unreadable)
    calls.get(session, "a")
    calls.save(session)
    assert session.session_key == unreadable
    assert reads(unreadable)["a"] == 1


def test_cycle_key_goes_to_a_new_key(unreadable, calls):
    session = SessionStore(unreadable)
    calls.cycle_key(session)
    assert session.session_key not in (None, unreadable)
    assert reads(unreadable)["a"] == 1


def test_flush_and_delete_leave_it(unreadable, calls):
    for verb in ("delete", "flush"):
        session = SessionStore(unreadable)
        calls.get(session, "a")
        getattr(calls, verb)(session)
        assert reads(unreadable)["a"] == 1
    assert session.session_key is None


def test_flush_leaves_it_also_without_having_looked(unreadable, calls):
    for is_cleared in (False, True):
        session = SessionStore(unreadable)
        if is_cleared:
            session.clear()
        calls.flush(session)
        assert session.session_key is None
        assert reads(unreadable)["a"] == 1


def test_a_merge_neither_overwrites_nor_copies_what_does_not_open_any_more(any_store, calls, load):
    session = calls.start(a=1, **ALICE)
    calls.update(session, {"b": 2})
    key = session.session_key
    newer = override_settings(
        SECRET_KEY="some other key", SECRET_KEY_FALLBACKS=["only for tests, and long enough for it"]
    )
    with newer:
        calls.change(key, a=3)
    with pytest.raises(SessionConflict):
        calls.save(session)
    with pytest.raises(SessionInterrupted):
        calls.cycle_key(session)
    assert len(get_store().get_user_sessions(ALICES)) == 1
    with newer:
        assert load(key) == {"a": 3, **ALICE}


@pytest.mark.parametrize("plain", [b"\x80\x04 not JSON", b"[1, 2]"])
def test_data_of_another_serializer_is_unreadable(any_store, calls, caplog, plain):
    from bff_sessions.protection import seal

    session = calls.start(a=1)
    row = row_of(session)
    ticket = seal(plain, bound_to=(row.key, row.partition, *row.bound), purpose="ticket")
    get_store().update_user_session(row.key, UserSessionUpdate.of(replace(row, ticket=ticket)))
    assert dict(calls.items(SessionStore(session.session_key))) == {}
    assert len(caplog.records) == 1


# Clean-up and configuration


def test_clear_expired_removes_the_expired(any_store, calls, load):
    if get_store().get_ability(UserSessionStoreCleanup) is None:
        with pytest.raises(NotImplementedError, match="UserSessionStoreCleanup"):
            SessionStore.clear_expired()
        return
    live, gone = calls.start(a=1), calls.start(a=1)
    calls.set_expiry(gone, -1)
    calls.save(gone)
    calls.clear_expired(SessionStore)
    assert load(live.session_key) == {"a": 1}
    assert not get_store().delete_user_session(store_key(conf.PARTITION, gone.session_key))


def test_the_engine_says_when_the_app_is_missing(settings):
    import importlib

    from bff_sessions import engine

    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "bff_sessions"]
    with pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
        importlib.reload(engine)


def test_nobody_can_do_without_an_expiry_by_mistake(any_store, calls):
    session = calls.start(a=1)
    calls.set_expiry(session, 0)
    calls.save(session)
    row = row_of(session)
    assert row.expires > datetime.now(UTC) + timedelta(days=13)


# What the store holds


def test_a_session_tells_what_the_store_holds_of_it(any_store, calls):
    session = calls.start(**ALICE)
    assert calls.get_user_session(session) == row_of(session)
    calls.update(session, {"n": 1})
    calls.save(session)
    assert calls.get_user_session(session) == row_of(session)


def test_what_was_never_saved_or_has_ended_is_not_in_the_store(any_store, calls):
    assert calls.get_user_session(SessionStore()) is None
    session = calls.start(**ALICE)
    revoke_sessions(ALICES)
    assert calls.get_user_session(session) is None


def test_statements_of_what_the_store_holds(statements, calls):
    session = calls.start(**ALICE)
    with statements(1):
        calls.get_user_session(session)
    with statements(0):
        calls.get_user_session(session)


# Its end in memory


@pytest.mark.django_db(transaction=True)
def test_session_is_freed_without_the_garbage_collector(calls):
    session = calls.start(cart=[1])
    loaded = SessionStore(session.session_key)
    loaded["cart"] = [2]
    loaded.save()
    loaded.cycle_key()
    held = [weakref.ref(loaded), weakref.ref(loaded._stored)]
    gc.disable()
    try:
        del loaded
        assert [ref() for ref in held] == [None, None]
    finally:
        gc.enable()


# Copies


@pytest.mark.django_db
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda session: pickle.loads(pickle.dumps(session))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_copy_of_a_session_outlives_it(duplicate, is_loaded):
    key = SessionStore()
    key["a"] = 1
    key.save()
    session = SessionStore(key.session_key)
    if is_loaded:
        session.get("a")
    copied = duplicate(session)
    del session
    assert copied["a"] == 1
    copied["b"] = 2
    copied.save()
    assert dict(SessionStore(key.session_key).items()) == {"a": 1, "b": 2}


@pytest.mark.django_db
def test_flush_of_a_copy_leaves_the_original_its_data():
    session = SessionStore()
    session["a"] = 1
    session.save()
    copy.copy(session).flush()
    assert session["a"] == 1


# Subclasses


class ReadingStore(SessionStore):
    def load(self):
        return {**super().load(), "loaded": True}

    async def aload(self):
        return {**await super().aload(), "loaded": True}


@pytest.mark.django_db(transaction=True)
def test_first_access_calls_load_of_a_subclass(calls):
    session = SessionStore()
    session["a"] = 1
    session.save()
    assert calls.get(ReadingStore(session.session_key), "loaded") is True
