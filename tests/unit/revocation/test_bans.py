"""Sessions that were signed out do not come back from the engine that was used before."""

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.sessions.models import Session as OldSession
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from bff_sessions.contract import ANY, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.engine.take_over import OldEngine
from bff_sessions.identity.session_ids import make_moved_session_id
from bff_sessions.models import Session, TakeOverBan
from bff_sessions.revocation import (
    arevoke_session,
    arevoke_sessions,
    bans,
    revoke_session,
    revoke_sessions,
)
from bff_sessions.stores import get_store
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.factories import UserFactory
from tests.support.old_sessions import (
    OLD,
    OldStore,
    import_sessions,
    old_session,
    old_sign_in,
    row_of,
    sign_in_data,
)
from tests.support.stores import CACHED, ORM

ISSUER = "https://idp.example"
FORM = "application/x-www-form-urlencoded"
HEADERS = {"X-CSRF": "1"}


@pytest.fixture(
    params=[
        pytest.param(ORM, id="orm"),
        pytest.param(CACHED, id="cached", marks=pytest.mark.thorough),
    ]
)
def store(request):
    return request.param


@pytest.fixture
def taking_over(settings):
    def configure(**more):
        settings.BFF_SESSIONS = {"TAKE_OVER": OLD, **more}

    configure()
    return configure


def claims(subject_id="alice", **more):
    return {"oidc": {"iss": ISSUER, "sub": subject_id, **more}}


class Request:
    """A request in flight on a host of before, which has read its session."""

    def __init__(self, session_key):
        self._session = OldStore(session_key)
        self._session.get("")

    def copy_session(self):
        """Change the key, as login() does and a changed password; return the new one."""
        self._session.cycle_key()
        self._session.save()
        return self._session.session_key


def is_out(session_key):
    """Whether a request with this cookie is anonymous."""
    return dict(SessionStore(session_key).items()) == {} and row_of(session_key) is None


# The copies that a request in flight on a host of before makes


PEOPLE = {
    "provider_with_sid": lambda user: claims(sid="phone"),
    "provider_without_sid": lambda user: claims(),
    "provider_and_user": lambda user: sign_in_data(user) | claims(sid="phone"),
    "local_user": sign_in_data,
}


def by_session(key):
    revoke_sessions(UserSessionsFilter.of_session(row_of(key)))


def by_session_async(key):
    async_to_sync(arevoke_sessions)(UserSessionsFilter.of_session(row_of(key)))


def by_subject(key):
    revoke_sessions(UserSessionsFilter(subject_id=row_of(key).subject_id))


def by_sid(key):
    revoke_sessions(UserSessionsFilter(session_id=row_of(key).session_id))


def by_key(key):
    assert revoke_session(row_of(key).key)


def by_key_async(key):
    assert async_to_sync(arevoke_session)(row_of(key).key)


def by_flush(key):
    SessionStore(key).flush()


def by_flush_async(key):
    async_to_sync(SessionStore(key).aflush)()


def by_delete(key):
    SessionStore().delete(key)


def by_delete_async(key):
    async_to_sync(SessionStore().adelete)(key)


def by_command(key):
    call_command("sessions", "end", "--sid", row_of(key).session_id, verbosity=0)


def browser_of(key):
    client = Client()
    client.cookies["sessionid"] = key
    return client


def by_logout(key):
    assert browser_of(key).post("/bff/logout").status_code == 302


def by_endpoint(key):
    path = f"/bff/sessions/{row_of(key).public_id}"
    assert browser_of(key).delete(path, headers=HEADERS).status_code == 204


def by_page(key):
    path = reverse("bff_sessions:end-my-session", kwargs={"public_id": row_of(key).public_id})
    assert browser_of(key).post(path).status_code == 302


def by_other_sessions(key):
    row = row_of(key)
    other = SessionStore()
    other.update(dict(SessionStore(key).items()))
    if row.issuer:
        other["oidc"] = other["oidc"] | {"sid": "another"}
    other.save()
    path = "/bff/sessions/others"
    assert browser_of(other.session_key).delete(path, headers=HEADERS).json() == {"ended": 1}


def operator():
    client = Client()
    client.force_login(UserFactory(admin=True))
    return client


def by_admin(key):
    row = Session.objects.get(key=row_of(key).key)
    path = reverse("admin:bff_sessions_session_delete", args=[row.pk])
    operator().post(path, {"post": "yes"})


def by_admin_action(key, action="end_sessions"):
    row = Session.objects.get(key=row_of(key).key)
    data = {"action": action, ACTION_CHECKBOX_NAME: [row.pk], "post": "yes"}
    operator().post(reverse("admin:bff_sessions_session_changelist"), data)


def by_admin_sign_out(key):
    by_admin_action(key, "sign_out_subjects")


ENDS = [
    by_session,
    by_session_async,
    by_subject,
    by_sid,
    by_key,
    by_key_async,
    by_flush,
    by_flush_async,
    by_delete,
    by_delete_async,
    by_command,
    by_logout,
    by_endpoint,
    by_page,
    by_other_sessions,
    by_admin,
    by_admin_action,
    by_admin_sign_out,
]


@pytest.mark.django_db
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("person", PEOPLE)
def test_copy_made_after_the_move_is_signed_out_too(taking_over, person, end):
    key = old_session(**PEOPLE[person](UserFactory()))
    in_flight = Request(key)
    SessionStore(key).load()
    end(key)
    assert row_of(key) is None
    copy = in_flight.copy_session()
    assert OldSession.objects.get().session_key == copy
    assert is_out(copy)
    assert import_sessions() == "0 sessions moved. Not moved: signed out (1)."


@pytest.mark.django_db
def test_copy_of_a_session_beyond_the_limit_is_signed_out_too(taking_over):
    taking_over(MAX_SESSIONS_PER_SUBJECT=1)
    key = old_session(**claims(sid="phone"))
    in_flight = Request(key)
    SessionStore(key).load()
    newer = SessionStore()
    newer.update(claims(sid="tablet"))
    newer.save()
    assert row_of(key) is None
    assert is_out(in_flight.copy_session())
    assert row_of(newer.session_key)


@pytest.mark.django_db
def test_signing_in_again_replaces_the_old_session_there(taking_over, calls):
    old = old_session(**claims(sid="phone"))
    new = calls.start(**claims(sid="phone"))
    assert is_out(old)
    assert row_of(new.session_key)


@pytest.mark.django_db
def test_provider_ends_sessions_that_have_not_moved(taking_over):
    from bff_sessions.oidc.logout.handling import end_sessions
    from bff_sessions.oidc.logout.tokens import LogoutToken

    taking_over(PROVIDERS={ISSUER: {"CLIENT_ID": "shop"}})
    phone, laptop = (old_session(**claims(sid=sid)) for sid in ("phone", "laptop"))
    now = datetime.now(UTC)
    later = now + timedelta(minutes=1)
    token = {"issuer": ISSUER, "issued_at": now, "expires_at": later}
    with_sid = LogoutToken(subject_id=None, session_id="phone", jti="1", **token)
    assert end_sessions(with_sid) == 0
    assert is_out(phone)
    assert SessionStore(laptop)["oidc"]["sid"] == "laptop"
    other = old_session(**claims(sid="tablet"))
    assert end_sessions(LogoutToken(subject_id="alice", session_id=None, jti="2", **token)) == 1
    assert is_out(other)


@pytest.mark.django_db
def test_anonymous_session_ends_without_a_ban(taking_over):
    key = old_session(cart=[1])
    SessionStore(key).load()
    SessionStore(key).flush()
    assert not TakeOverBan.objects.exclude(created=None).exists()


# Sign out everywhere


@pytest.mark.django_db
def test_signing_out_everywhere_reaches_what_has_not_moved(settings, store, caplog):
    settings.BFF_SESSIONS = {"TAKE_OVER": OLD, "STORE": store}
    here, there, elsewhere = (old_session(**claims(sid=sid)) for sid in "abc")
    SessionStore(here).load()
    assert revoke_sessions(UserSessionsFilter(subject_id="alice", issuer=ISSUER)) == 1
    assert [is_out(key) for key in (here, there, elsewhere)] == [True] * 3
    assert import_sessions("--dry-run") == "0 sessions would be moved. Not moved: signed out (2)."
    assert import_sessions() == "0 sessions moved. Not moved: signed out (2)."
    assert OldSession.objects.count() == 2
    assert caplog.records == []


@pytest.mark.django_db
def test_banned_cookie_gets_a_new_key_and_may_sign_in(taking_over, calls):
    key = old_session(**claims(sid="phone"))
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    session = SessionStore(key)
    calls.update(session, claims(sid="phone"))
    calls.save(session)
    assert session.session_key != key
    assert calls.get(SessionStore(session.session_key), "oidc")["sub"] == "alice"


@pytest.mark.django_db
def test_import_moves_the_others_of_a_batch():
    keys = [old_session(**claims(subject)) for subject in ("alice", "bob", "carol", "dave", "erin")]
    bans.write_bans("default", [UserSessionsFilter(subject_id=name) for name in ("alice", "erin")])
    assert import_sessions() == "3 sessions moved. Not moved: signed out (2)."
    assert [row_of(key) is None for key in keys] == [True, False, False, False, True]


@pytest.mark.django_db
def test_sessions_of_others_still_move(taking_over):
    keys = [
        old_session(**claims("bob", sid="phone")),
        old_session(oidc={"iss": "https://other.example", "sub": "alice", "sid": "phone"}),
        old_sign_in(UserFactory()),
        old_session(cart=[1]),
    ]
    revoke_sessions(UserSessionsFilter(subject_id="alice", issuer=ISSUER))
    assert all(dict(SessionStore(key).items()) for key in keys)


@pytest.mark.django_db
def test_ending_a_session_with_a_sid_leaves_the_other_old_ones(taking_over):
    here, there = (old_session(**claims(sid=sid)) for sid in ("phone", "laptop"))
    SessionStore(here).flush()
    assert SessionStore(there)["oidc"]["sid"] == "laptop"


@pytest.mark.django_db
def test_ending_a_session_that_began_here_leaves_the_old_ones(taking_over):
    """No copy of it can be in the old table, so nothing there needs a ban."""
    user = UserFactory()
    there = old_sign_in(user)
    here = SessionStore()
    here.update(sign_in_data(user))
    here.save()
    here.flush()
    assert dict(SessionStore(there).items()) == sign_in_data(user)


@pytest.mark.django_db
def test_ban_matches_exactly_what_its_filter_matches(taking_over):
    texts = {"subject_id": "alice", "session_id": "phone", "user_id": "7"}
    filters = [
        UserSessionsFilter(**some, issuer=issuer, partition=partition)
        for values in itertools.product(*[(None, text, "other") for text in texts.values()])
        if any(some := {n: v for n, v in zip(texts, values, strict=True) if v})
        for issuer in (ANY, None, ISSUER)
        for partition in (ANY, "default", "other")
    ]
    sessions = [
        make_session(issuer=issuer, **dict(zip(texts, values, strict=True)))
        for values in itertools.product(*[(text, None) for text in texts.values()])
        for issuer in (None, ISSUER)
    ]
    for filter in filters:
        bans.ban(filter)
        matching = {session.key for session in sessions if filter.matches(session)}
        assert bans.banned(sessions, "default") == matching
        TakeOverBan.objects.all().delete()


@pytest.mark.django_db
def test_sid_of_a_provider_may_look_like_one_of_a_move(taking_over):
    sid = make_moved_session_id()
    for filter in (
        UserSessionsFilter(session_id=sid),
        UserSessionsFilter(session_id=sid, subject_id="alice"),
    ):
        key = old_session(**claims(sid=sid))
        revoke_sessions(filter)
        assert is_out(key)
        TakeOverBan.objects.all().delete()


@pytest.mark.django_db
def test_ban_holds_no_text_that_it_is_about(taking_over):
    revoke_sessions(UserSessionsFilter(subject_id="alice", session_id="phone", issuer=ISSUER))
    rows = list(TakeOverBan.objects.values())
    assert len(rows) == 2  # And what is locked.
    for text in ("alice", "phone", ISSUER):
        assert text not in json.dumps(rows, default=str)


# How long a ban lasts


@pytest.mark.django_db
def test_nothing_is_banned_where_nothing_is_taken_over(calls, django_assert_num_queries):
    session = calls.start(**claims(sid="phone"))
    with django_assert_num_queries(1):
        revoke_sessions(UserSessionsFilter(subject_id="bob"))
    with django_assert_num_queries(1):
        async_to_sync(arevoke_sessions)(UserSessionsFilter(subject_id="bob"))
    with django_assert_num_queries(2):
        revoke_session(session.store_key)
    session = calls.start(**claims(sid="phone"))
    with django_assert_num_queries(2):
        calls.flush(session)
    assert not TakeOverBan.objects.exists()


@pytest.mark.django_db
def test_clean_up_removes_bans_once_nothing_is_taken_over(taking_over, settings):
    key = old_session(**claims())
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    call_command("cleanup_sessions", verbosity=0)
    assert is_out(key)
    settings.BFF_SESSIONS = {"PARTITION": "another"}
    call_command("cleanup_sessions", verbosity=0)
    assert TakeOverBan.objects.count() == 2
    settings.BFF_SESSIONS = {}
    call_command("cleanup_sessions", "--dry-run", verbosity=0)
    assert TakeOverBan.objects.count() == 2
    call_command("cleanup_sessions", verbosity=0)
    assert not TakeOverBan.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_rollback_undoes_the_ban_and_the_end(taking_over):
    here, there = (old_session(**claims(sid=sid)) for sid in ("phone", "laptop"))
    SessionStore(here).load()
    with transaction.atomic():
        assert revoke_sessions(UserSessionsFilter(subject_id="alice")) == 1
        transaction.set_rollback(True)
    assert SessionStore(here)["oidc"]["sid"] == "phone"
    assert SessionStore(there)["oidc"]["sid"] == "laptop"


@pytest.mark.django_db
def test_failed_delete_leaves_no_ban(taking_over, monkeypatch):
    def fail(self, filter, **arguments):
        raise RuntimeError

    monkeypatch.setattr(OrmUserSessionStore, "delete_user_sessions", fail)
    with pytest.raises(RuntimeError):
        revoke_sessions(UserSessionsFilter(subject_id="alice"))
    assert not TakeOverBan.objects.exists()


# A revocation and a take-over at once


class Paused:
    """A call that waits, in its thread, before it does what it does."""

    def __init__(self, monkeypatch, owner, name):
        self._reached, self._goes_on = threading.Event(), threading.Event()
        original = getattr(owner, name)

        def paused(*args, **kwargs):
            if threading.current_thread() is not threading.main_thread():
                self._reached.set()
                assert self._goes_on.wait(20)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, paused)

    def wait(self):
        assert self._reached.wait(20)

    def go_on(self):
        self._goes_on.set()


class InThread:
    """Calls a function in a thread, on a connection of its own."""

    def __init__(self, function, *args):
        self._thread = threading.Thread(target=self._run, args=(function, args))
        self._thread.start()

    def _run(self, function, args):
        self.result = None
        try:
            self.result = function(*args)
        except Exception as error:
            self.result = error
        finally:
            connection.close()

    def is_waiting(self):
        self._thread.join(0.3)
        return self._thread.is_alive()

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.result


def data_of(session_key):
    return dict(SessionStore(session_key).items())


FILTERS = {
    "subject": UserSessionsFilter(subject_id="alice"),
    "subject_of_issuer": UserSessionsFilter(subject_id="alice", issuer=ISSUER),
    "sid": UserSessionsFilter(session_id="phone"),
    "session": UserSessionsFilter(issuer=ISSUER, subject_id="alice", session_id="phone"),
    "user": UserSessionsFilter(user_id="7"),
}


@pytest.fixture(params=FILTERS)
def filter(request):
    return FILTERS[request.param]


@pytest.fixture
def key(transactional_db, taking_over):
    return old_session(_auth_user_id="7", **claims(sid="phone"))


def test_revocation_waits_for_a_take_over_on_its_way(key, filter, monkeypatch):
    """Its session is not committed, so that a delete at READ COMMITTED would not see it."""
    pause = Paused(monkeypatch, OrmUserSessionStore, "create_user_session")
    taking = InThread(data_of, key)
    pause.wait()
    revoking = InThread(revoke_sessions, filter)
    assert revoking.is_waiting()
    pause.go_on()
    taking.join()
    assert revoking.join() == 1
    assert is_out(key)
    assert not Session.objects.exists()


def test_revocation_waits_for_the_transaction_of_the_request(key, filter):
    with transaction.atomic():
        assert data_of(key)
        revoking = InThread(revoke_sessions, filter)
        assert revoking.is_waiting()
    assert revoking.join() == 1
    assert is_out(key)


def test_take_over_waits_for_a_revocation_on_its_way(key, filter):
    with transaction.atomic():
        revoke_sessions(filter)
        taking = InThread(data_of, key)
        assert taking.is_waiting()
    assert taking.join() == {}
    assert is_out(key)


def test_take_over_goes_on_after_a_revocation_that_is_rolled_back(key, filter):
    with transaction.atomic():
        revoke_sessions(filter)
        taking = InThread(data_of, key)
        assert taking.is_waiting()
        transaction.set_rollback(True)
    assert taking.join()["oidc"]["sub"] == "alice"


def test_take_over_that_has_read_the_old_session_finds_the_ban(key, filter, monkeypatch):
    pause = Paused(monkeypatch, OldEngine, "move")
    taking = InThread(data_of, key)
    pause.wait()
    assert revoke_sessions(filter) == 0
    pause.go_on()
    assert taking.join() == {}
    assert is_out(key)
    assert OldSession.objects.exists()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_take_over_that_has_deleted_the_old_session_finds_the_ban(key, filter, monkeypatch):
    pause = Paused(monkeypatch, bans, "lock")
    taking = InThread(data_of, key)
    pause.wait()
    assert revoke_sessions(filter) == 0
    pause.go_on()
    assert taking.join() == {}
    assert is_out(key)
    assert OldSession.objects.exists()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_import_of_others_does_not_wait_for_a_revocation(key, filter):
    other = old_session(_auth_user_id="8", **claims("bob", sid="laptop"))
    with transaction.atomic():
        revoke_sessions(filter)
        taking = InThread(data_of, other)
        assert not taking.is_waiting()
    assert taking.join()["oidc"]["sub"] == "bob"


@pytest.mark.race
def test_sessions_of_one_person_move_at_once(transactional_db, taking_over):
    keys = [old_session(**claims(sid=str(number))) for number in range(12)]
    barrier = threading.Barrier(12)

    def move(key):
        barrier.wait()
        return data_of(key)

    found = [thread.join() for thread in [InThread(move, key) for key in keys]]
    assert [data["oidc"]["sid"] for data in found] == [str(number) for number in range(12)]


@pytest.mark.race
def test_revocations_and_take_overs_at_once_leave_nothing(transactional_db, taking_over):
    keys = [old_session(**claims(sid=str(number))) for number in range(12)]
    barrier = threading.Barrier(12)

    def act(number):
        barrier.wait()
        if number % 4 == 0:
            return revoke_sessions(UserSessionsFilter(subject_id="alice", issuer=ISSUER))
        return data_of(keys[number])

    found = [thread.join() for thread in [InThread(act, number) for number in range(12)]]
    assert not [result for result in found if isinstance(result, Exception)]
    assert not Session.objects.exists()
    assert all(is_out(key) for key in keys)
    assert get_store().get_user_sessions(UserSessionsFilter(subject_id="alice")) == []
