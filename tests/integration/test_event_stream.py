"""The stream of starts and ends beside the store: whatever requests do, they agree."""

import pytest
from django.db import transaction
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

from bff_sessions import stores
from bff_sessions.contract import (
    EndReason,
    UserSessionsFilter,
    UserSessionStoreCleanup,
    UserSessionStoreTransactions,
)
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import revoke_session, revoke_sessions
from bff_sessions.signals import session_started, sessions_ended
from bff_sessions.stores import get_store
from tests.support.factories import ago
from tests.support.file_store import FileStore
from tests.support.stores import CACHED, MEMORY, MINIMAL, NATIVE_EXPIRY, ORM

SUBJECTS = ["alice", "bob"]
identities = st.fixed_dictionaries(
    {
        "iss": st.just("https://idp.example"),
        "sub": st.sampled_from(SUBJECTS),
        # Without one, the package makes a session ID.
        "sid": st.sampled_from(["s1", "s2", None]),
    }
).map(lambda claims: {name: value for name, value in claims.items() if value})
filters = st.sampled_from(
    [
        *(UserSessionsFilter(subject_id=subject) for subject in SUBJECTS),
        UserSessionsFilter(session_id="s1"),
        UserSessionsFilter(subject_id="bob", session_id="s2"),
    ]
)
REPLACED = {EndReason.REPLACED, EndReason.TOO_MANY}


class EventMachine(RuleBasedStateMachine):
    browsers = Bundle("browsers")

    def __init__(self):
        super().__init__()
        self.open, self.started, self.expired = set(), set(), set()
        self.heard = []
        session_started.connect(self.start)
        sessions_ended.connect(self.end)

    def teardown(self):
        session_started.disconnect(self.start)
        sessions_ended.disconnect(self.end)
        for subject in SUBJECTS:
            revoke_sessions(UserSessionsFilter(subject_id=subject))
        self.check_left()

    def check_left(self):
        assert self.live() == {}

    def start(self, session, **kwargs):
        assert session.sign_in_id not in self.started
        self.started.add(session.sign_in_id)
        self.open.add(session.sign_in_id)

    def end(self, sessions, reason, **kwargs):
        for session in sessions:
            self.open.remove(session.sign_in_id)
            if session.sign_in_id in self.expired:
                assert reason is EndReason.EXPIRED
            else:
                self.heard.append(reason)

    def live(self):
        found = (get_store().get_user_sessions(UserSessionsFilter(subject_id=s)) for s in SUBJECTS)
        return {session.sign_in_id: session for some in found for session in some}

    def heard_only(self, reasons):
        heard, self.heard = self.heard, []
        assert set(heard) <= reasons

    # What requests do. Each one has a SessionStore of its own.

    @rule(target=browsers, claims=st.none() | identities)
    def begin(self, claims):
        session = SessionStore()
        session["cart"] = 1
        if claims:
            session["oidc"] = claims
        session.save()
        self.heard_only(REPLACED)
        return [session.session_key]

    @rule(browser=browsers, claims=identities)
    def sign_in(self, browser, claims):
        session = SessionStore(browser[0])
        session["oidc"] = claims
        session.save()
        browser[0] = session.session_key
        self.heard_only(REPLACED)

    @rule(browser=browsers)
    def forget_identity(self, browser):
        session = SessionStore(browser[0])
        if "oidc" in session:
            del session["oidc"]
            session.save()
            browser[0] = session.session_key
        self.heard_only({EndReason.CODE})

    @rule(browser=browsers)
    def move(self, browser):
        session = SessionStore(browser[0])
        session.cycle_key()
        browser[0] = session.session_key
        self.heard_only(set())

    @rule(browser=browsers, value=st.integers(0, 9))
    def save(self, browser, value):
        session = SessionStore(browser[0])
        session["cart"] = value
        session.save()
        browser[0] = session.session_key
        self.heard_only(set())

    @rule(browser=browsers, signs_out=st.booleans(), is_loaded=st.booleans())
    def flush(self, browser, signs_out, is_loaded):
        session = SessionStore(browser[0])
        session.signs_out = signs_out
        if is_loaded:
            session.get("cart")
        session.flush()
        self.heard_only({EndReason.SIGNED_OUT if signs_out else EndReason.CODE})

    @rule(browser=browsers)
    def delete(self, browser):
        SessionStore().delete(browser[0])
        self.heard_only({EndReason.CODE})

    # What others do

    @rule(criteria=filters, reason=st.sampled_from(EndReason))
    def revoke(self, criteria, reason):
        revoke_sessions(criteria, reason=reason)
        self.heard_only({reason})

    @rule(browser=browsers, reason=st.sampled_from(EndReason))
    def revoke_one(self, browser, reason):
        key = SessionStore(browser[0]).store_key
        if key is not None:
            revoke_session(key, reason=reason)
        self.heard_only({reason})

    @rule(browser=browsers)
    def expire(self, browser):
        key = SessionStore(browser[0]).store_key
        session = None if key is None else get_store().get_user_session(key)
        if session is not None:
            get_store().touch_user_session(key, renewed=ago(hours=2), expires=ago(hours=1))
            self.expired.add(session.sign_in_id)

    @rule()
    def clean_up(self):
        if get_store().get_ability(UserSessionStoreCleanup) is not None:
            SessionStore.clear_expired()
            assert self.open == self.live().keys()
        self.heard_only(set())

    @rule(criteria=filters, claims=identities)
    def roll_back(self, criteria, claims):
        if get_store().get_ability(UserSessionStoreTransactions) is None:
            return
        before = self.open.copy(), self.started.copy()
        with transaction.atomic():
            session = SessionStore()
            session["oidc"] = claims
            session.save()
            revoke_sessions(criteria)
            transaction.set_rollback(True)
        assert (self.open, self.started) == before

    @invariant()
    def stream_and_store_agree(self):
        live = self.live().keys()
        assert live <= self.open
        # A session that has expired ends when a delete finds it.
        assert self.open - live <= self.expired


def check():
    run_state_machine_as_test(
        EventMachine,
        settings=hypothesis_settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("store", [ORM, MEMORY, MINIMAL, NATIVE_EXPIRY, CACHED])
def test_stream_agrees_with_the_store(settings, store, limit):
    settings.BFF_SESSIONS = {"STORE": store, "MAX_SESSIONS_PER_SUBJECT": limit}
    check()


@pytest.mark.thorough
def test_stream_agrees_with_a_store_of_files(settings, monkeypatch, tmp_path):
    settings.BFF_SESSIONS = {"MAX_SESSIONS_PER_SUBJECT": 2}
    monkeypatch.setattr(stores, "_store", FileStore(tmp_path))
    check()


@pytest.mark.thorough
@pytest.mark.processes
@pytest.mark.parametrize("keeps_expired", [False, True])
def test_stream_agrees_with_redis(redis_server, settings, keeps_expired):
    pytest.importorskip("redis")
    settings.BFF_SESSIONS = {
        "STORE": "bff_sessions.stores.redis.RedisUserSessionStore",
        "REDIS": {"URL": redis_server.url},
        "TOKEN_REVOCATION": {"EXPIRED_SESSIONS": keeps_expired},
        "MAX_SESSIONS_PER_SUBJECT": 2,
    }
    check()
