"""A request that is interrupted leaves no lease behind, and saves what its block changed."""

import asyncio
import gc
import logging
import sys
import threading

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import OperationalError, connections

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import arevoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.memory import InMemoryUserSessionStore
from tests.support.sessions import ALICE, ALICES, start
from tests.support.stores import MEMORY


class SteppingStore(InMemoryUserSessionStore):
    """Gives way to other tasks before and after what each twin does."""


def add_twin(name):
    async def twin(self, *args, **kwargs):
        await asyncio.sleep(0)
        result = getattr(self, name)(*args, **kwargs)
        await asyncio.sleep(0)
        return result

    setattr(SteppingStore, f"a{name}", twin)


for name in (
    "get_user_session",
    "overwrite_user_session",
    "acquire_lease",
    "release_lease",
    "on_commit",
):
    add_twin(name)

STEPPING = f"{__name__}.{SteppingStore.__name__}"


@pytest.fixture
def stepping(settings):
    settings.BFF_SESSIONS = {"STORE": STEPPING}
    return get_store()


async def ticks(number):
    for _ in range(number):
        await asyncio.sleep(0)


async def work(key, log):
    """What a view does."""
    session = SessionStore(key)
    await session.aget("token")
    log.append("enters")
    async with session.exclusive():
        await asyncio.sleep(0)
        await session.aset("token", 2)
        log.append("changed")
        await asyncio.sleep(0)
    log.append("left")


async def cancel_request(task, times):
    task.cancel()
    for _ in range(times - 1):
        await ticks(1)
        task.cancel()


async def cancel_everything(task, times):
    """As asyncio.run() does when it ends."""
    for _ in range(times):
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        await ticks(1)


@pytest.mark.parametrize(
    ("cancel", "times"),
    [(cancel_request, 1), (cancel_request, 2), (cancel_request, 50), (cancel_everything, 1)],
)
def test_cancelled_request_leaves_no_lease(stepping, monkeypatch, cancel, times):
    """At each of its suspension points."""
    faults, logs = [], []
    monkeypatch.setattr(sys, "unraisablehook", faults.append)

    async def cancel_after(moment):
        key, log = start(token=1), []
        task = asyncio.create_task(work(key, log))
        await ticks(moment)
        if task.done():
            return True
        await cancel(task, times)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert stepping._leases == {}
        assert SessionStore(key)["token"] == (2 if "changed" in log else 1)
        logs.append(log)
        return False

    async def cancel_at_each_point():
        moment = 0
        while not await cancel_after(moment):
            moment += 1

    async_to_sync(cancel_at_each_point)()
    gc.collect()
    assert faults == []
    assert logs.count(["enters"]) > 5
    assert logs.count(["enters", "changed"]) > 5


def test_event_loop_that_ends_leaves_no_lease(stepping):
    moment, done = 0, False

    async def main(key, log):
        task = asyncio.create_task(work(key, log))
        await ticks(moment)
        return task.done()

    while not done:
        key, log = start(token=1), []
        done = asyncio.run(main(key, log))
        assert stepping._leases == {}
        assert SessionStore(key)["token"] == (2 if "changed" in log else 1)
        moment += 1
    assert moment > 10


@pytest.mark.parametrize("limit", ["timeout", "wait_for"])
def test_timeout_leaves_no_lease(leasing_store, limit):
    key = start(token=1)

    async def block(is_in):
        session = SessionStore(key)
        async with session.exclusive():
            await session.aset("token", 2)
            is_in.set()
            await asyncio.sleep(60)

    async def request():
        is_in = asyncio.Event()
        if limit == "wait_for":
            await asyncio.wait_for(block(is_in), 0.5)
        else:
            async with asyncio.timeout(60) as timeout:
                asyncio.get_running_loop().create_task(expire(timeout, is_in))
                await block(is_in)

    async def expire(timeout, is_in):
        await is_in.wait()
        timeout.reschedule(0)

    with pytest.raises(TimeoutError):
        async_to_sync(request)()
    if limit == "timeout":
        assert SessionStore(key)["token"] == 2
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_waiting_for_others_ends_at_once_when_cancelled(leasing_store):
    key = start(token=1)

    async def wait():
        async with SessionStore(key).exclusive(timeout=60):
            raise AssertionError("Two have it.")

    async def request():
        async with SessionStore(key).exclusive():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.1)

    async_to_sync(request)()
    with SessionStore(key).exclusive(timeout=0):
        pass


class Gate:
    """Holds a call in its thread, before or after what it does."""

    def __init__(self, monkeypatch, name, *, is_after):
        self.reached, self.open = threading.Event(), threading.Event()
        perform, self._holds = getattr(get_store(), name), True

        def hold():
            if self._holds:
                self._holds = False
                self.reached.set()
                assert self.open.wait(60)

        def call(*args, **kwargs):
            if not is_after:
                hold()
            result = perform(*args, **kwargs)
            if is_after:
                hold()
            return result

        monkeypatch.setattr(get_store(), name, call)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["acquire_lease", "overwrite_user_session", "release_lease"])
@pytest.mark.parametrize("times", [1, 2])
def test_write_that_ends_in_its_thread_leaves_no_lease(
    leasing_store, monkeypatch, name, is_after, times
):
    """The call is in its thread when the request is cancelled."""
    key, log = start(token=1), []
    gate = Gate(monkeypatch, name, is_after=is_after)

    async def request():
        task = asyncio.create_task(work(key, log))
        while not gate.reached.is_set():
            await asyncio.sleep(0.001)
        await cancel_request(task, times)
        await ticks(3)
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await sync_to_async(connections.close_all)()

    # As in a server: the event loop has its own thread, and each request another one.
    asyncio.run(request())
    assert SessionStore(key)["token"] == (1 if name == "acquire_lease" else 2)
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_lease_that_another_thread_acquires_late_is_released(settings, monkeypatch):
    """The twins of a store may run anywhere, so that a later call is not behind an earlier one."""
    settings.BFF_SESSIONS = {"STORE": MEMORY}
    key, store = start(token=1), get_store()
    gate = Gate(monkeypatch, "acquire_lease", is_after=False)

    async def acquire(*args):
        return await asyncio.to_thread(store.acquire_lease, *args)

    async def request():
        task = asyncio.create_task(work(key, []))
        await asyncio.to_thread(gate.reached.wait, 60)
        task.cancel()
        await ticks(3)
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(store, "aacquire_lease", acquire)
    asyncio.run(request())
    assert store._leases == {}


def test_cancelled_request_whose_session_ended_stays_cancelled(stepping, caplog):
    """What could not be finished is in the log, without what it was."""

    async def request():
        key, saving, ended = start(**ALICE), asyncio.Event(), asyncio.Event()

        async def save(read, row):
            saving.set()
            await ended.wait()
            return stepping.overwrite_user_session(read, row)

        stepping.aoverwrite_user_session = save
        task = asyncio.create_task(work(key, []))
        await saving.wait()
        await arevoke_sessions(UserSessionsFilter(subject_id="alice"))
        task.cancel()
        await ticks(2)
        ended.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    caplog.set_level(logging.WARNING, "bff_sessions.engine")
    async_to_sync(request)()
    assert stepping._leases == {}
    assert get_store().get_user_sessions(ALICES) == []
    assert [record.getMessage() for record in caplog.records] == [
        "A cancelled request could not finish: SessionInterrupted."
    ]


INTERRUPTIONS = [KeyboardInterrupt, SystemExit, OperationalError, asyncio.CancelledError]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["acquire_lease", "get_user_session", "release_lease"])
@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_interrupted_call_leaves_no_lease(leasing_store, monkeypatch, interruption, name, is_after):
    """Synchronous code, in which a signal or an asynchronous part of it raises."""
    if name == "release_lease" and interruption is OperationalError and not is_after:
        pytest.skip("Where the database is away, the lease ends by itself.")
    key, interrupted = start(token=1), []
    session = SessionStore(key)
    session.get("token")
    perform = getattr(get_store(), name)

    def interrupt(*args, **kwargs):
        if interrupted:
            return perform(*args, **kwargs)
        interrupted.append(True)
        if is_after:
            perform(*args, **kwargs)
        raise interruption

    monkeypatch.setattr(get_store(), name, interrupt)
    with pytest.raises(interruption), session.exclusive():
        session["token"] = 2
    assert interrupted
    with SessionStore(key).exclusive(timeout=0):
        pass
    assert SessionStore(key)["token"] == (2 if name == "release_lease" else 1)


@pytest.mark.parametrize("interruption", [*INTERRUPTIONS, GeneratorExit])
def test_interrupted_block_saves_what_it_changed(leasing_store, interruption):
    key = start(token=1)
    session = SessionStore(key)
    with pytest.raises(interruption), session.exclusive():
        session["token"] = 2
        raise interruption
    assert SessionStore(key)["token"] == 2
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_interrupted_save_is_done_and_leaves_no_lease(leasing_store, monkeypatch):
    key, interrupted = start(token=1), []
    session = SessionStore(key)
    perform = get_store().overwrite_user_session

    def interrupt(*args):
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return perform(*args)

    monkeypatch.setattr(get_store(), "overwrite_user_session", interrupt)
    with pytest.raises(KeyboardInterrupt), session.exclusive():
        session["token"] = 2
    assert SessionStore(key)["token"] == 2
    with SessionStore(key).exclusive(timeout=0):
        pass


def test_closed_generator_leaves_no_lease(leasing_store):
    key = start(token=1)

    def stream():
        session = SessionStore(key)
        with session.exclusive():
            session["token"] = 2
            yield

    async def astream():
        session = SessionStore(key)
        async with session.exclusive():
            await session.aset("token", 3)
            yield

    async def close():
        generator = astream()
        await anext(generator)
        await generator.aclose()

    generator = stream()
    next(generator)
    generator.close()
    assert SessionStore(key)["token"] == 2
    async_to_sync(close)()
    assert SessionStore(key)["token"] == 3
    with SessionStore(key).exclusive(timeout=0):
        pass


@pytest.mark.thorough
def test_coroutine_that_is_closed_takes_no_more_steps(stepping, monkeypatch):
    """Nothing can be awaited any more; the lease ends by itself."""
    faults, is_done, moment = [], False, 0
    monkeypatch.setattr(sys, "unraisablehook", faults.append)

    async def enter_and_leave(key):
        session = SessionStore(key)
        await session.aget("token")
        async with session.exclusive():
            pass

    while not is_done:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # Tasks are destroyed, on purpose.
        task = loop.create_task(enter_and_leave(start(token=1)))
        loop.run_until_complete(ticks(moment))
        loop.close()
        is_done = task.done()
        del task, loop
        gc.collect()
        moment += 1
    # A warning of Python's own says that a task was destroyed before it began.
    assert [fault for fault in faults if not issubclass(fault.exc_type, Warning)] == []
    assert moment > 5


def test_session_that_ends_while_it_is_entered_interrupts(leasing_store, monkeypatch):
    session = SessionStore(start(**ALICE))
    session.get("oidc")
    perform = get_store().acquire_lease

    def acquire_and_end(key, *args):
        acquired = perform(key, *args)
        get_store().delete_user_session(key)
        return acquired

    monkeypatch.setattr(get_store(), "acquire_lease", acquire_and_end)
    with pytest.raises(SessionInterrupted), session.exclusive():
        raise AssertionError("It has ended.")


def test_lease_is_released_where_the_session_has_moved_to(leasing_store):
    """Another request moves it, and this one saves nothing, so that it does not notice."""
    key = start(**ALICE)
    session, other = SessionStore(key), SessionStore(key)
    session.get("oidc")
    other.get("oidc")
    with session.exclusive():
        other.cycle_key()
    with SessionStore(other.session_key).exclusive(timeout=0):
        pass
