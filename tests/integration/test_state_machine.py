"""Each store beside a plain dictionary: whatever one does in whatever order, they agree."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bff_sessions.contract import (
    ANY,
    UPDATED,
    DeletedSession,
    UserSessionsFilter,
    UserSessionStoreCleanup,
    UserSessionUpdate,
)
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.stores.redis import RedisUserSessionStore
from bff_sessions.testing import make_session
from tests.support.minimal import MinimalStore

NOW = datetime.now(UTC)
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)

# Few values, so that they meet; such that careless databases take for equal.
texts = st.sampled_from(["a", "A", "a ", "á", "%"])
maybe = st.none() | texts
identities = st.fixed_dictionaries(
    {
        "issuer": maybe,
        "subject_id": maybe,
        "session_id": maybe,
        "user_id": maybe,
        "expires": st.sampled_from([None, PAST, FUTURE]),
        "ticket": st.binary(max_size=3),
    }
)
partitions = st.sampled_from(["shop", "Shop"])
filters = (
    st.fixed_dictionaries(
        {
            "subject_id": maybe,
            "session_id": maybe,
            "user_id": maybe,
            "issuer": st.just(ANY) | maybe,
            "partition": st.just(ANY) | partitions,
        }
    )
    .filter(lambda given: given["subject_id"] or given["session_id"] or given["user_id"])
    .map(lambda given: UserSessionsFilter(**given))
)


class StoreMachine(RuleBasedStateMachine):
    store_class = None
    forgets_expired = False
    keys = Bundle("keys")

    def __init__(self):
        super().__init__()
        self.store = self.store_class()
        self.model = {}

    def put(self, session):
        """Put a session into the model."""
        if self.forgets_expired and not self.live(session):
            self.model.pop(session.key, None)
        else:
            self.model[session.key] = session

    def live(self, session):
        return session.is_live(datetime.now(UTC))

    @rule(target=keys, values=identities, partition=partitions)
    def create(self, values, partition):
        session = make_session(partition=partition, **values)
        self.store.create_user_session(session)
        self.put(session)
        return session.key

    @rule(key=keys)
    def create_again(self, key):
        if key in self.model:
            with pytest.raises(SessionExists):
                self.store.create_user_session(make_session(key=key))

    @rule(key=keys, values=identities, is_current=st.booleans(), is_blind=st.booleans())
    def update(self, key, values, is_current, is_blind):
        old = self.model.get(key)
        update = UserSessionUpdate.of(make_session(**values))
        version = None if is_blind else (old.version if old else 1) + (not is_current)
        if old is None:
            with pytest.raises(SessionMissing):
                self.store.update_user_session(key, update, if_version=version)
        elif not (is_blind or is_current):
            with pytest.raises(SessionChanged):
                self.store.update_user_session(key, update, if_version=version)
        else:
            new = self.store.update_user_session(key, update, if_version=version)
            assert new == old.version + 1
            fields = {name: getattr(update, name) for name in UPDATED}
            self.put(replace(old, **fields, version=new))

    @rule(target=keys, key=keys, values=identities)
    def rekey(self, key, values):
        old = self.model.get(key)
        session = make_session(partition=old.partition if old else "shop", **values)
        if old is None:
            with pytest.raises(SessionMissing):
                self.store.rekey_user_session(key, session, if_version=1)
        elif self.live(old):  # What happens to an expired one is a store's own business.
            new = self.store.rekey_user_session(key, session, if_version=old.version)
            del self.model[key]
            self.put(replace(session, version=new))
        return session.key

    @rule(key=keys)
    def touch(self, key):
        old = self.model.get(key)
        touched = self.store.touch_user_session(key, renewed=FUTURE, expires=FUTURE)
        assert touched == (old is not None and self.live(old))
        if touched:
            version = self.store.get_user_session(key).version
            self.put(replace(old, renewed=FUTURE, expires=FUTURE, version=version))

    @rule(key=keys)
    def delete(self, key):
        assert self.store.delete_user_session(key) == (self.model.pop(key, None) is not None)

    @rule(criteria=filters)
    def query(self, criteria):
        found = self.store.get_user_sessions(criteria)
        expected = [s for s in self.model.values() if self.live(s) and criteria.matches(s)]
        assert {session.key: session for session in found} == {s.key: s for s in expected}
        assert found == sorted(found, key=lambda session: session.renewed, reverse=True)

    @rule(criteria=filters, limit=st.sampled_from([1, 2, 3, 1000]))
    def query_pages(self, criteria, limit):
        found, cursor = [], None
        while True:
            page = self.store.query_user_sessions(criteria, cursor=cursor, limit=limit)
            assert len(page.sessions) <= limit
            found += page.sessions
            cursor = page.next_cursor
            if cursor is None:
                break
        expected = [s for s in self.model.values() if self.live(s) and criteria.matches(s)]
        assert {s.key: s for s in found} == {s.key: replace(s, ticket=b"") for s in expected}
        assert len(found) == len(expected)
        assert found == sorted(found, key=lambda session: session.created, reverse=True)

    @rule(criteria=filters)
    def delete_many(self, criteria):
        deleted = self.store.delete_user_sessions(criteria)
        expected = [s for s in self.model.values() if criteria.matches(s)]
        assert {d.key: d for d in deleted} == {s.key: DeletedSession.of(s) for s in expected}
        for session in expected:
            del self.model[session.key]

    @rule()
    def clean_up(self):
        if self.store.get_ability(UserSessionStoreCleanup) is not None:
            expired = [key for key, session in self.model.items() if not self.live(session)]
            assert self.store.delete_expired_sessions(sleep=0) == len(expired)
            for key in expired:
                del self.model[key]

    @invariant()
    def both_hold_the_same(self):
        for key, session in self.model.items():
            expected = session if self.live(session) else None
            assert self.store.get_user_session(key) == expected

    def teardown(self):
        for key in self.model:
            self.store.delete_user_session(key)


@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "store_class",
    [OrmUserSessionStore, InMemoryUserSessionStore, MinimalStore, CachedUserSessionStore],
)
def test_a_store_agrees_with_a_dictionary(store_class):
    check(store_class)


@pytest.mark.thorough
@pytest.mark.processes
@pytest.mark.parametrize("keeps_expired", [False, True])
def test_redis_store_agrees_with_a_dictionary(redis_server, settings, keeps_expired):
    pytest.importorskip("redis")
    settings.BFF_SESSIONS = {
        "REDIS": {"URL": redis_server.url},
        "TOKEN_REVOCATION": {"EXPIRED_SESSIONS": keeps_expired},
    }
    check(RedisUserSessionStore, forgets_expired=not keeps_expired)


def check(store_class, *, forgets_expired=False):
    fields = {"store_class": store_class, "forgets_expired": forgets_expired}
    machine = type("Machine", (StoreMachine,), fields)
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
