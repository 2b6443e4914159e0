"""What becomes of each verb when the database fails before or after a commit."""

import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.db import connection, connections, transaction
from django.db.utils import IntegrityError, OperationalError

from bff_sessions import revocation
from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.models import Logout, Session, TokenRevocation
from bff_sessions.oidc.logout.handling import end_sessions
from bff_sessions.oidc.logout.tokens import LogoutToken
from bff_sessions.signals import sessions_ended
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.databases import retrying
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.faults import LOST, ROLLED_BACK, Fault
from tests.support.old_sessions import OLD, OldStore, import_sessions, old_session

FAULTS = {
    **{name: lambda make=make: Fault(make) for name, make in ROLLED_BACK.items()},
    **{f"{name}-before": lambda make=make: Fault(make) for name, make in LOST.items()},
    **{f"{name}-after": lambda make=make: Fault(make, done=True) for name, make in LOST.items()},
    # The first two fail.
    "twice": lambda: Fault(next(iter(ROLLED_BACK.values())), times=2),
    "lost-twice": lambda: Fault(next(iter(LOST.values())), times=2),
    "lost-twice-after": lambda: Fault(next(iter(LOST.values())), done=True, times=2),
}
SOON = datetime.now(UTC) + timedelta(hours=1)
ALICE = UserSessionsFilter(subject_id="alice")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(retrying.time, "sleep", lambda seconds: None)


@pytest.fixture(params=FAULTS)
def fault(request):
    return FAULTS[request.param]()


@pytest.fixture(params=[OrmUserSessionStore, lambda: CachedUserSessionStore(OrmUserSessionStore())])
def store(request):
    return request.param()


def new(store, **fields):
    session = make_session(**fields)
    store.create_user_session(session)
    return session


def changed(session, **changes):
    return replace(session, **{"ticket": b"new " + session.key.encode(), **changes})


def test_session_is_created(store, fault):
    session = make_session()
    with fault():
        store.create_user_session(session)
    assert fault.raised
    assert store.get_user_session(session.key) == session


def test_taken_key_is_still_refused(store, fault):
    session = new(store)
    with fault(), pytest.raises(SessionExists):
        store.create_user_session(changed(session))
    assert store.get_user_session(session.key) == session


def test_session_is_updated_once(store, fault):
    session = new(store)
    update = UserSessionUpdate.of(changed(session))
    with fault():
        assert store.update_user_session(session.key, update, if_version=1) == 2
    assert fault.raised
    assert store.get_user_session(session.key) == changed(session, version=2)


def test_unconditional_update_is_done_once(store, fault):
    session = new(store)
    with fault():
        update = UserSessionUpdate.of(changed(session))
        assert store.update_user_session(session.key, update) == 2
    assert fault.raised
    assert store.get_user_session(session.key) == changed(session, version=2)


def test_session_is_overwritten_once(store, fault):
    session = new(store)
    with fault():
        assert store.overwrite_user_session(session, changed(session)) == 2
    assert fault.raised
    assert store.get_user_session(session.key) == changed(session, version=2)


@pytest.mark.parametrize("verb", ["rekey", "overwrite"])
def test_session_is_moved_once(store, fault, verb):
    session = new(store)
    moved = changed(session, key=make_session().key)
    with fault():
        if verb == "rekey":
            version = store.rekey_user_session(session.key, moved, if_version=1)
        else:
            version = store.overwrite_user_session(session, moved)
    assert (version, bool(fault.raised)) == (2, True)
    assert store.get_user_session(session.key) is None
    assert store.get_user_session(moved.key) == replace(moved, version=2)


def test_ended_session_is_still_missing(store, fault):
    session = make_session()
    with fault():
        with pytest.raises(SessionMissing):
            store.overwrite_user_session(session, changed(session))
        with pytest.raises(SessionMissing):
            store.update_user_session(session.key, UserSessionUpdate.of(session))
    assert Session.objects.count() == 0


def test_changed_session_is_still_changed(store, fault):
    session = new(store)
    store.overwrite_user_session(session, changed(session))
    with fault(), pytest.raises(SessionChanged):
        store.overwrite_user_session(session, changed(session, ticket=b"late"))
    assert store.get_user_session(session.key) == changed(session, version=2)


def test_session_is_renewed(store, fault):
    session = new(store)
    with fault():
        assert store.touch_user_session(session.key, renewed=session.renewed, expires=SOON)
    assert fault.raised
    assert store.get_user_session(session.key).expires == SOON


def test_device_is_noted(store, fault):
    session, now = new(store), datetime.now(UTC)
    with fault():
        assert store.note_device(session.key, seen=now)
    assert fault.raised
    assert store.get_user_session(session.key).last_seen == now


def test_lease_is_acquired_and_released(store, fault):
    session = new(store)
    with fault():
        assert store.acquire_lease(session.key, "owner", 10)
    assert fault.raised
    assert not store.acquire_lease(session.key, "other", 10)


def test_lease_is_released(store, fault):
    session = new(store)
    store.acquire_lease(session.key, "owner", 10)
    with fault():
        assert store.release_lease(session.key, "owner")
    assert fault.raised
    assert store.acquire_lease(session.key, "other", 10)


def test_session_is_deleted(store, fault):
    session = new(store)
    with fault():
        assert store.delete_user_session(session.key)
    assert fault.raised
    assert store.get_user_session(session.key) is None
    assert not store.delete_user_session(session.key)


def test_each_deleted_session_is_returned_once(store, fault):
    keys = {new(store).key for _ in range(3)}
    other = new(store, subject_id="bob")
    with fault():
        deleted = store.delete_user_sessions(ALICE)
    assert fault.raised
    assert sorted(session.key for session in deleted) == sorted(keys)
    assert [row.key for row in Session.objects.all()] == [other.key]


def test_batches_that_were_committed_are_returned(store, fault, monkeypatch):
    monkeypatch.setattr("bff_sessions.stores.orm.deletes._BATCH", 2)
    keys = {new(store).key for _ in range(5)}
    with fault():
        deleted = store.delete_user_sessions(ALICE)
    assert sorted(session.key for session in deleted) == sorted(keys)


def test_delete_that_another_has_done_is_not_returned(store):
    """The first try is rolled back, and another ends one of the sessions before the second."""
    sessions = [new(store) for _ in range(3)]
    fault = Fault(next(iter(LOST.values())))

    def end_one(seconds):
        if fault.raised:
            Session.objects.filter(key=sessions[0].key).delete()

    with fault(), mock.patch.object(retrying.time, "sleep", end_one):
        deleted = store.delete_user_sessions(ALICE)
    assert {session.key for session in deleted} == {session.key for session in sessions[1:]}


@pytest.mark.parametrize("told", [False, True], ids=["silent", "told"])
def test_clean_up_removes_each_session_once(store, fault, told):
    expired = {new(store, expires=datetime.now(UTC) - timedelta(1)).key for _ in range(3)}
    live, batches = new(store), []
    with fault():
        store.delete_expired_sessions(on_deleted=batches.extend if told else None)
    assert fault.raised
    assert [row.key for row in Session.objects.all()] == [live.key]
    if told:
        assert sorted(session.key for session in batches) == sorted(expired)


def test_reads_are_repeated(store):
    session = new(store)
    failing = mock.Mock(side_effect=[True, False])

    def execute(execute, *args):
        if failing():
            with connection.wrap_database_errors:
                raise next(iter(LOST.values()))()
        return execute(*args)

    for read, result in (
        (lambda: store.get_user_session(session.key), session),
        (lambda: store.get_user_sessions(ALICE), [session]),
        (lambda: store.query_user_sessions(ALICE).sessions, [replace(session, ticket=b"")]),
    ):
        failing.side_effect = [True, *[False] * 9]
        with connection.execute_wrapper(execute):
            assert read() == result


# Where nothing is repeated


def test_transaction_of_the_caller_is_not_repeated(store, fault):
    session = new(store)
    failing = connection.execute_wrapper(mock.Mock(side_effect=_raise(fault.make)))
    with pytest.raises(OperationalError), transaction.atomic(), failing:
        store.delete_user_session(session.key)
    assert Session.objects.count() == 1


def test_caller_that_commits_by_hand_is_not_repeated(fault):
    store = OrmUserSessionStore()
    session = new(store)
    calls = mock.Mock(side_effect=_raise(fault.make))
    transaction.set_autocommit(False)
    try:
        with connection.execute_wrapper(calls), pytest.raises(OperationalError):
            store.delete_user_session(session.key)
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert calls.call_count == 1


def test_error_that_stays_is_raised_after_five_tries(fault):
    work = mock.Mock(side_effect=_raise(fault.make))
    with pytest.raises(OperationalError):
        retry("default", work)
    assert work.call_count == 5


def test_no_try_begins_after_two_seconds(monkeypatch):
    moments = iter([0, 50])
    monkeypatch.setattr(retrying.time, "monotonic", lambda: next(moments))
    work = mock.Mock(side_effect=_raise(next(iter(ROLLED_BACK.values()))))
    with pytest.raises(OperationalError):
        retry("default", work)
    assert work.call_count == 1


def test_other_errors_are_not_repeated():
    work = mock.Mock(side_effect=IntegrityError)
    with pytest.raises(IntegrityError):
        retry("default", work)
    assert work.call_count == 1


def _raise(make):
    def fail(*args):
        with connection.wrap_database_errors:
            raise make()

    return fail


# Ends


@pytest.fixture
def announced():
    told = []

    def receive(sessions, **kwargs):
        told.extend(session.key for session in sessions)

    sessions_ended.connect(receive)
    yield told
    sessions_ended.disconnect(receive)


@pytest.fixture(params=[None, "django.contrib.sessions.backends.db"], ids=["plain", "take_over"])
def take_over(request, settings):
    settings.BFF_SESSIONS = {"TAKE_OVER": request.param}


def test_revoked_session_is_announced_once(fault, announced, take_over):
    session = new(OrmUserSessionStore())
    with fault():
        assert revocation.revoke_session(session.key)
    assert fault.raised
    assert announced == [session.key]


def test_revoked_sessions_are_announced_once(fault, announced, take_over):
    keys = [new(OrmUserSessionStore()).key for _ in range(3)]
    with fault():
        assert revocation.revoke_sessions(ALICE) == 3
    assert fault.raised
    assert sorted(announced) == sorted(keys)


@pytest.mark.parametrize("end", ["revoke_session", "arevoke_session"])
def test_delete_in_doubt_ends_a_session_that_moved(end, take_over):
    """The connection is lost before the delete, and another request moves the session."""
    from asgiref.sync import async_to_sync

    store = OrmUserSessionStore()
    session = new(store)
    fault = Fault(next(iter(LOST.values())))
    moved = changed(session, key=make_session().key)

    def move(seconds):
        if fault.raised and Session.objects.filter(key=session.key).exists():
            store.rekey_user_session(session.key, moved, if_version=1)

    revoke = getattr(revocation, end)
    with fault(), mock.patch.object(retrying.time, "sleep", move):
        assert (async_to_sync(revoke) if end[0] == "a" else revoke)(session.key)
    assert fault.raised
    assert Session.objects.count() == 0


def test_back_channel_logout_survives(fault, announced):
    sessions = [new(OrmUserSessionStore(), issuer="https://op.example") for _ in range(2)]
    now = datetime.now(UTC)
    token = LogoutToken(
        issuer="https://op.example",
        subject_id="alice",
        session_id=None,
        jti=uuid.uuid4().hex,
        issued_at=now,
        expires_at=now + timedelta(minutes=2),
    )
    # In each of its transactions.
    for commits in range(3):
        with fault.anew(after=commits) as other:
            assert end_sessions(replace(token, jti=uuid.uuid4().hex)) == 2
        assert other.raised
        assert Logout.objects.filter(done=True).count() == commits + 1
        assert sorted(announced) == sorted(session.key for session in sessions)
        announced.clear()
        sessions = [new(OrmUserSessionStore(), issuer="https://op.example") for _ in range(2)]


# What else is written


def test_token_revocation_is_claimed_once(fault):
    rows, now = TokenRevocation.objects.current(), datetime.now(UTC)
    row = TokenRevocation(digest="1", issuer="i", token=b"t", created=now, due=now)
    with fault():
        rows.add([row])
    assert fault.raised
    row = rows.get()
    with fault.anew() as other:
        assert rows.claim(row, timedelta(minutes=1))
    assert other.raised
    assert rows.get().attempts == 1
    with fault.anew():
        assert rows.put_off(row, now)
    with fault.anew():
        rows.remove(row)
    assert not rows.exists()


# Real errors


def kill_connection():
    """Let the server end the connection of this thread, from another one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_backend_pid()"
            if connection.vendor == "postgresql"
            else "SELECT CONNECTION_ID()"
        )
        [number] = cursor.fetchone()

    def kill():
        try:
            with connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute("SELECT pg_terminate_backend(%s, 1000)", [number])
                else:
                    cursor.execute(f"KILL {number}")
        finally:
            connections.close_all()

    killer = threading.Thread(target=kill)
    killer.start()
    killer.join()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no connections to lose")
@pytest.mark.parametrize("moment", ["idle", "in_transaction"])
def test_killed_connection_loses_nothing(store, moment, announced):
    sessions = [new(store) for _ in range(4)]
    killed = []

    def execute(execute, sql, *args):
        is_moment = sql.startswith("DELETE") if moment == "in_transaction" else True
        if is_moment and not killed:
            killed.append(sql)
            kill_connection()
        return execute(sql, *args)

    def lose():
        killed.clear()
        return connection.execute_wrapper(execute)

    first, second, third, fourth = sessions
    with lose():
        assert store.get_user_session(first.key) == first
    with lose():
        assert store.overwrite_user_session(first, changed(first)) == 2
    with lose():
        assert store.rekey_user_session(second.key, changed(second, key="n"), if_version=1) == 2
    with lose():
        assert store.touch_user_session(third.key, renewed=third.renewed, expires=SOON)
    with lose():
        assert store.delete_user_session(fourth.key)
    with lose():
        deleted = store.delete_user_sessions(ALICE)
    assert killed
    assert {session.key for session in deleted} == {first.key, "n", third.key}


@pytest.mark.skipif(connection.vendor != "mysql", reason="Others lock rows only, in any plan")
def test_rows_are_locked_one_by_one_in_the_order_of_keys(django_assert_num_queries):
    store = OrmUserSessionStore()
    keys = sorted(new(store).key for _ in range(3))
    with django_assert_num_queries(2 * 3 + 4) as captured:
        store.delete_user_sessions(ALICE)
    locked = [q["sql"] for q in captured if "FOR UPDATE" in q["sql"]]
    assert [key for sql in locked for key in keys if key in sql] == keys
    assert not any(" IN (" in q["sql"] for q in captured)


def test_old_session_moves_once(fault, settings):
    settings.BFF_SESSIONS = {"TAKE_OVER": OLD}
    session_key = old_session(cart=[1])
    with fault():
        assert SessionStore(session_key).get("cart") == [1]
    assert fault.raised
    assert not OldStore().exists(session_key)


def test_import_counts_each_session_once(fault):
    for number in range(3):
        old_session(cart=[number])
    with fault():
        assert "3 sessions moved." in import_sessions()
    assert fault.raised
    assert Session.objects.count() == 3
