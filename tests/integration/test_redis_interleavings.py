"""The Redis store, stopped between each two of its commands.

The verbs are steps, each of which is a command here, as a Cluster executes them one by one.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from unittest import mock

import pytest

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.sansio import run
from bff_sessions.stores.redis import RedisUserSessionStore, hints
from bff_sessions.stores.redis.link import Link
from bff_sessions.testing import make_session
from tests.support.redis_steps import MOST, OneByOne, Walk

pytestmark = pytest.mark.processes
pytest.importorskip("redis")

ALICE = UserSessionsFilter(subject_id="alice")
LOW, HIGH = "0" * 64, "f" * 64


class Twice(Link):
    """Sends each command twice, like a client that has not got the answer."""

    def _ask(self, command):
        super()._ask(command)
        return super()._ask(command)

    def _send(self, commands):
        return [self._ask(command) for command in commands]


@pytest.fixture
def make_store(redis_server, settings, monkeypatch):
    settings.BFF_SESSIONS = {"REDIS": {"URL": redis_server.url}}

    def make(link_class=OneByOne):
        redis_server.empty()
        with mock.patch("bff_sessions.stores.redis.store.Link", link_class):
            return RedisUserSessionStore()

    return make


@pytest.fixture(params=["old key first", "new key first"])
def keys(request, monkeypatch):
    """The old and the new key of a move; a revocation goes through them in their order."""
    find = hints.find

    def find_in_order(link, filter):
        found = yield from find(link, filter)
        return dict(sorted(found.items()))

    monkeypatch.setattr(hints, "find", find_in_order)
    return (LOW, HIGH) if request.param == "old key first" else (HIGH, LOW)


def survivors(store, *keys):
    read = [key for key in keys if (one := store.get_user_session(key)) and not one.is_moved]
    listed = [one.key for one in store.get_user_sessions(ALICE) if not one.is_moved]
    return read, listed


def writes(store, session, new_key):
    """The steps of each write to `session`, which exists."""
    renewed = datetime.now(UTC)
    later = replace(session, expires=renewed + timedelta(days=30), ticket=b"new")
    moved = replace(session, key=new_key)
    return {
        "save": store._update_user_session(session.key, UserSessionUpdate.of(later), if_version=1),
        "renewal": store._touch_user_session(session.key, renewed=renewed, expires=later.expires),
        "move": store._rekey_user_session(session.key, moved, if_version=1),
    }


REVOCATIONS = {
    "by subject": lambda store, key, on_ending: store._delete_user_sessions(
        ALICE, on_ending=on_ending
    ),
    "by key": lambda store, key, on_ending: store._delete_user_session(key, on_ending=on_ending),
}


def ignore(batch):
    """An `on_ending` that does nothing."""


@pytest.mark.parametrize("dies", [False, True], ids=["", "write dies"])
@pytest.mark.parametrize("on_ending", [None, ignore], ids=["", "with on_ending"])
@pytest.mark.parametrize("revocation", REVOCATIONS)
@pytest.mark.parametrize("write", ["save", "renewal", "move"])
def test_signed_out_is_out_at_every_command_of_a_write(
    make_store, keys, write, revocation, on_ending, dies
):
    for number in range(MOST):
        store = make_store()
        old, new = keys
        session = make_session(key=old)
        store.create_user_session(session)
        walk = Walk(writes(store, session, new)[write])
        if walk.take(number):
            assert number > 1
            break
        found = store.get_user_session(old) is not None
        Walk(REVOCATIONS[revocation](store, old, on_ending)).take()
        walk.die() if dies else walk.take()
        # A delete of the old key that finds nothing comes after the move.
        left = ([], []) if found or revocation == "by subject" else ([new], [new])
        assert survivors(store, old, new) == left, f"stopped after {number} commands"


@pytest.mark.parametrize("write", ["save", "renewal", "move"])
def test_signed_out_is_out_whatever_is_written_between_commands_of_the_revocation(
    make_store, keys, write
):
    for number in range(MOST):
        store = make_store()
        old, new = keys
        session = make_session(key=old)
        store.create_user_session(session)
        walk = Walk(store._delete_user_sessions(ALICE, on_ending=ignore))
        if walk.take(number):
            break
        Walk(writes(store, session, new)[write]).take()
        walk.take()
        assert survivors(store, old, new) == ([], []), f"stopped after {number} commands"


def test_sign_in_on_its_way_is_refused_once_it_can_be_found(make_store):
    for number in range(MOST):
        store = make_store()
        session = make_session()
        walk = Walk(store._create_user_session(session))
        if walk.take(number):
            break
        found = run(hints.find(store._link, ALICE))
        store.delete_user_sessions(ALICE)
        walk.take()
        # Before that, the sign-in comes after the revocation.
        expected = [] if found else [session.key]
        assert survivors(store, session.key) == (expected, expected)
        store.delete_user_sessions(ALICE)
        assert survivors(store, session.key) == ([], [])


def test_move_that_dies_at_any_command_leaves_one_session_at_most(make_store, keys):
    for number in range(MOST):
        store = make_store()
        old, new = keys
        session = make_session(key=old)
        store.create_user_session(session)
        walk = Walk(writes(store, session, new)["move"])
        if walk.take(number):
            break
        walk.die()
        read, listed = survivors(store, old, new)
        assert len(read) <= 1
        assert listed == read
        store.delete_user_sessions(ALICE)
        assert survivors(store, old, new) == ([], [])


def test_delete_that_dies_at_any_command_loses_no_ticket(make_store):
    for number in range(MOST):
        store = make_store()
        session = make_session(ticket=b"the ticket")
        store.create_user_session(session)
        ended = []
        walk = Walk(store._delete_user_session(session.key, on_ending=ended.extend))
        if walk.take(number):
            break
        walk.die()
        with mock.patch("bff_sessions.stores.redis.maintenance._INTERRUPTED", -1):
            store.finish_deletes(ended.extend)
        if store.get_user_session(session.key) is None:
            assert {one.ticket for one in ended} == {b"the ticket"}
        else:
            assert not ended
            store.delete_user_session(session.key)


def test_commands_that_are_sent_twice_have_one_effect(make_store):
    store = make_store(Twice)
    session, new_key = make_session(), token_hex(32)
    store.create_user_session(session)
    update = UserSessionUpdate.of(replace(session, ticket=b"2"))
    assert store.update_user_session(session.key, update, if_version=1) == 2
    assert store.acquire_lease(session.key, "one", 60) is True
    assert store.acquire_lease(session.key, "other", 60) is False
    moved = replace(session, key=new_key, ticket=b"3")
    assert store.rekey_user_session(session.key, moved, if_version=2) == 3
    assert store.get_user_session(session.key) is None
    assert store.get_user_session(new_key) == replace(moved, version=3)
    assert store.acquire_lease(new_key, "other", 60) is False
    ended = []
    [deleted] = store.delete_user_sessions(ALICE, on_ending=ended.extend)
    assert (deleted.key, [one.ticket for one in ended]) == (new_key, [b"3"])
    assert store.delete_user_sessions(ALICE) == []
