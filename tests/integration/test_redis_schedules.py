"""A write and a revocation on the Redis store, both of which stop between two of their commands."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from secrets import token_hex
from unittest import mock

import pytest

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.sansio import run
from bff_sessions.stores.redis import RedisUserSessionStore, hints
from bff_sessions.testing import make_session
from tests.support.redis_steps import Backwards, OneByOne, Walk

pytestmark = [pytest.mark.processes, pytest.mark.thorough]
pytest.importorskip("redis")

# Pairs of pauses that each test tries, others each time. There are up to 250.
TRIES = 10


@pytest.fixture(params=[OneByOne, Backwards], ids=["in_order", "backwards"])
def store(request, redis_server, settings):
    settings.BFF_SESSIONS = {"REDIS": {"URL": redis_server.url}}
    with mock.patch("bff_sessions.stores.redis.store.Link", request.param):
        return RedisUserSessionStore()


@pytest.fixture(autouse=True)
def order(monkeypatch):
    """A revocation goes through the keys in their order."""
    find = hints.find

    def find_in_order(link, filter):
        found = yield from find(link, filter)
        return dict(sorted(found.items()))

    monkeypatch.setattr(hints, "find", find_in_order)


class Case:
    """A session of a subject, or one that is about to become it, and what is done to it."""

    has_signed_in = True
    is_refused_once_found = True
    """Whether a revocation that finds the hints of a sign-in ends it, too."""
    old_digit, new_digit = "0f"

    def __init__(self, store, announces):
        self.store = store
        self.announced = []
        self.on_ending = self.announced.extend if announces else None
        self.session = make_session(
            key=self.old_digit + token_hex(32)[1:], subject_id=token_hex(8), ticket=b"old"
        )
        self.moved = replace(self.session, key=self.new_digit + token_hex(32)[1:], ticket=b"new")
        self.filter = UserSessionsFilter(subject_id=self.session.subject_id)
        self.prepare()

    def prepare(self):
        session = self.session
        if not self.has_signed_in:
            session = replace(session, subject_id=None, session_id=None, user_id=None)
        self.store.create_user_session(session)

    def write(self):
        """Return the steps of what is done to the session."""
        raise NotImplementedError

    def revoke(self):
        return self.store._delete_user_sessions(self.filter, on_ending=self.on_ending)

    def must_end(self, write):
        """Return whether a revocation that begins now must end the session."""
        is_found = bool(run(hints.find(self.store._link, self.filter)))
        return self.has_signed_in or (is_found and (self.is_refused_once_found or write.has_ended))

    def check(self, *, is_strict, where):
        read, listed = self.survivors()
        if not is_strict:
            # The sign-in may come after the revocation. But another revocation finds it.
            assert read == listed, where
            self.store.delete_user_sessions(self.filter)
            read, listed = self.survivors()
        assert (read, listed) == ([], []), where
        if self.has_signed_in:
            with mock.patch("bff_sessions.stores.redis.maintenance._INTERRUPTED", -1):
                self.store.finish_deletes(self.on_ending)
            assert self.fields() <= {b"tombstone"}, where
            assert self.announced or not self.on_ending, where

    def survivors(self):
        """Return the sessions of the subject that can be read, and those in the list."""
        read = [self.store.get_user_session(one.key) for one in (self.session, self.moved)]
        live = [one for one in read if one is not None and not one.is_moved]
        listed = [one for one in self.store.get_user_sessions(self.filter) if not one.is_moved]
        return [one for one in live if self.filter.matches(one)], listed

    def fields(self):
        """Return the fields in Redis of what is under the keys."""
        link = self.store._link
        names = [link.names.session(one.key) for one in (self.session, self.moved)]
        fields = run(link.send([("HKEYS", name) for name in names]))
        return {field for some in fields for field in some}


class SignIn(Case):
    has_signed_in = False

    def prepare(self):
        """Create nothing: the write does."""

    def write(self):
        return self.store._create_user_session(self.session)


class Save(Case):
    def write(self):
        later = replace(self.session, expires=datetime.now(UTC) + timedelta(days=9), ticket=b"new")
        return self.store._update_user_session(self.session.key, UserSessionUpdate.of(later))


class SignInUnderTheSameKey(Case):
    """One command makes the session match. So it comes before the revocation, or after it."""

    has_signed_in = False
    is_refused_once_found = False

    def write(self):
        update = UserSessionUpdate.of(self.session)
        return self.store._update_user_session(self.session.key, update)


class Renewal(Case):
    def write(self):
        now = datetime.now(UTC)
        later = now + timedelta(days=9)
        return self.store._touch_user_session(self.session.key, renewed=now, expires=later)


class MoveUp(Case):
    def write(self):
        return self.store._rekey_user_session(self.session.key, self.moved, if_version=1)


class MoveDown(MoveUp):
    old_digit, new_digit = "f0"


class SignInUnderAnotherKey(MoveUp):
    has_signed_in = False


class Delete(Case):
    def write(self):
        return self.store._delete_user_session(self.session.key, on_ending=self.on_ending)


@pytest.mark.parametrize("begins", ["write", "revocation"])
@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
@pytest.mark.parametrize("announces", [False, True], ids=["without_on_ending", "with_on_ending"])
@pytest.mark.parametrize(
    "case_class",
    [
        SignIn,
        Save,
        SignInUnderTheSameKey,
        Renewal,
        MoveUp,
        MoveDown,
        SignInUnderAnotherKey,
        Delete,
    ],
)
def test_signed_out_is_out_if_both_stop(store, case_class, announces, dies, begins):
    """The one that begins stops, then the other one. The first one ends, then the other one."""
    case = case_class(store, announces)
    lengths = []
    for steps in (case.write(), case_class(store, announces).revoke()):
        walk = Walk(steps)
        walk.take()
        lengths.append(walk.taken)
    pauses = list(product(*(range(length + 1) for length in lengths)))
    for in_write, in_revocation in random.sample(pauses, min(TRIES, len(pauses))):
        case = case_class(store, announces)
        write, revocation = Walk(case.write()), Walk(case.revoke())
        walks = [(write, in_write), (revocation, in_revocation)]
        (first, pause), (second, other_pause) = walks if begins == "write" else walks[::-1]
        first.take(pause)
        is_strict = case.must_end(write)
        second.take(other_pause)
        for walk in (first, second):
            walk.die() if dies and walk is write else walk.take()
        case.check(is_strict=is_strict, where=(in_write, in_revocation))
