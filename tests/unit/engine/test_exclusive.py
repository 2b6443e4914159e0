"""session.exclusive(): one at a time, among processes, threads and tasks."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connection, transaction

from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import SessionBusy
from bff_sessions.revocation import revoke_sessions
from tests.support.processes import go, processes
from tests.support.sessions import ALICE, ALICES, start


def refresh(session, used):
    """What may happen once only for each token."""
    if session["token"] == 1:
        used.append(session["token"])
        time.sleep(0.05)
        session["token"] = 2


async def arefresh(session, used):
    if await session.aget("token") == 1:
        used.append(1)
        await asyncio.sleep(0.05)
        await session.aset("token", 2)


def test_threads_refresh_once(leasing_store):
    key, used, failures = start(token=1), [], []

    def request():
        try:
            session = SessionStore(key)
            session.get("token")
            with session.exclusive():
                refresh(session, used)
            assert session["token"] == 2
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert used == [1]
    assert SessionStore(key)["token"] == 2


@pytest.mark.parametrize("shares_instance", [False, True])
def test_tasks_refresh_once(leasing_store, shares_instance):
    key, used = start(token=1), []
    shared = SessionStore(key)

    async def request():
        session = shared if shares_instance else SessionStore(key)
        await session.aget("token")
        async with session.exclusive():
            await arefresh(session, used)
        assert await session.aget("token") == 2

    async def requests():
        await asyncio.gather(*[request() for _ in range(4)])

    async_to_sync(requests)()
    assert used == [1]
    assert SessionStore(key)["token"] == 2


PROCESS = """
import os, sys, time
import django; django.setup()
from bff_sessions.engine import SessionStore
session = SessionStore(sys.stdin.readline().strip())
print("ready", flush=True); sys.stdin.readline()
with session.exclusive(timeout=30, seconds=float(sys.argv[1])):
    print("has it", session["token"], flush=True)
    if sys.argv[2] == "die":
        time.sleep(60)
    if session["token"] == 1:
        time.sleep(0.1)
        session["token"] = 2
        print("used", flush=True)
"""


@pytest.fixture
def process(transactional_db):
    with processes("sample_project.settings") as start_process:

        def start_process_of(session_key, seconds=15, does="refresh"):
            return start_process(PROCESS, session_key, seconds, does)

        yield start_process_of


@pytest.fixture
def sample_partition(settings):
    settings.BFF_SESSIONS = {"PARTITION": "sample"}
    settings.SECRET_KEY = "only for the demo, never for a deployment"


@pytest.mark.processes
def test_processes_refresh_once(process, sample_partition):
    key = start(token=1)
    started = [process(key) for _ in range(2)]
    go(*started)
    outputs = "".join(each.communicate(timeout=60)[0] for each in started)
    assert outputs.count("has it") == 2
    assert outputs.count("used") == 1
    assert SessionStore(key)["token"] == 2


@pytest.mark.processes
def test_who_is_killed_loses_the_lease_in_time(process, sample_partition):
    key = start(token=1)
    holder = process(key, seconds=5, does="die")
    go(holder)
    assert holder.stdout.readline() == "has it 1\n"
    holder.kill()
    session = SessionStore(key)
    with pytest.raises(SessionBusy), session.exclusive(timeout=0):
        raise AssertionError("Two have it.")
    with session.exclusive(timeout=30):
        session["token"] = 2
    assert SessionStore(key)["token"] == 2


def test_waiting_is_bounded(leasing_store):
    key = start(token=1)
    with SessionStore(key).exclusive():
        began = time.monotonic()
        with pytest.raises(SessionBusy), SessionStore(key).exclusive(timeout=0.2):
            raise AssertionError("Two have it.")
        assert time.monotonic() - began >= 0.2
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_on_entry_the_session_is_read_again_and_my_changes_stay(leasing_store):
    key = start(token=1)
    session = SessionStore(key)
    session["mine"] = 1
    other = SessionStore(key)
    other["theirs"] = 1
    other.save()
    with session.exclusive():
        assert session["theirs"] == 1
        assert session["mine"] == 1
    assert dict(SessionStore(key).items()) == {"token": 1, "mine": 1, "theirs": 1}


def test_what_changed_is_saved_also_after_an_exception(leasing_store):
    key = start(token=1)
    session = SessionStore(key)
    with pytest.raises(ZeroDivisionError), session.exclusive():
        session["token"] = 2
        raise ZeroDivisionError
    assert SessionStore(key)["token"] == 2
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_block_keeps_its_session(leasing_store):
    key = start(token=1)
    with SessionStore(key).exclusive():
        assert SessionStore(key)["token"] == 1


def test_who_only_looks_writes_no_data(leasing_store):
    key = start(token=1)
    session = SessionStore(key)
    with session.exclusive():
        assert session["token"] == 1
    assert not session.modified


def test_the_key_may_change_inside(leasing_store):
    key = start(token=1)
    session = SessionStore(key)
    with session.exclusive():
        session.cycle_key()
        with pytest.raises(SessionBusy), SessionStore(session.session_key).exclusive(timeout=0):
            raise AssertionError("Two have it.")
    assert session.session_key != key
    with SessionStore(session.session_key).exclusive(timeout=0):
        pass


def test_a_session_without_a_row_is_its_own(leasing_store):
    for session_key in (None, "k" * 32):
        session = SessionStore(session_key)
        with session.exclusive():
            session["token"] = 2
        assert SessionStore(session.session_key)["token"] == 2


def test_signed_out_is_out_for_a_lease(leasing_store):
    session = SessionStore(start(**ALICE))
    session.get("oidc")
    with pytest.raises(SessionInterrupted), session.exclusive():
        session["late"] = True
        revoke_sessions(ALICES)
    with pytest.raises(SessionInterrupted), session.exclusive():
        raise AssertionError("It has ended.")
    assert revoke_sessions(ALICES) == 0


def test_inside_a_transaction_it_is_refused(transactional_db):
    session = SessionStore(start(token=1))
    with (
        transaction.atomic(),
        pytest.raises(RuntimeError, match="transaction"),
        session.exclusive(),
    ):
        raise AssertionError("Others would not see it.")
    with session.exclusive(timeout=0):
        pass


@pytest.mark.django_db
def test_inside_a_test_case_of_django_it_works():
    session = SessionStore(start(token=1))
    with session.exclusive():
        session["token"] = 2
    assert SessionStore(session.session_key)["token"] == 2
