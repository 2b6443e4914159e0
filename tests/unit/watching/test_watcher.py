"""The thread that watches all open pages of a process."""

import logging
import os
import signal
import threading
import warnings
from contextvars import ContextVar
from queue import Empty, SimpleQueue

import pytest
from django.core.cache import cache
from django.db import OperationalError, connections, transaction

from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from bff_sessions.watching import News, NewsKind, watching
from bff_sessions.watching import watcher as module
from bff_sessions.watching.pages import Page

PATIENCE = 30  # Seconds.
ENDED = News(NewsKind.SESSION_ENDED)

variable = ContextVar("variable", default="nothing")


class Inbox:
    def __init__(self, watcher):
        self.session = make_session()
        get_store().create_user_session(self.session)
        self._queue = SimpleQueue()
        self.page = Page(self.session, self._queue.put)
        watcher.add(self.page)

    def get(self):
        return self._queue.get(timeout=PATIENCE)

    def is_empty(self):
        return self._queue.empty()


def end(inbox, **reason):
    revoke_sessions(UserSessionsFilter.of_session(inbox.session), **reason)


def test_end_in_another_process_is_noticed(watcher, look_every):
    look_every(0.1)
    first, second = Inbox(watcher), Inbox(watcher)
    # Without a signal.
    get_store().delete_user_session(first.session.key)
    assert first.get() == ENDED
    assert second.is_empty()
    assert watcher.pages() == [second.page]


def test_end_in_this_process_is_noticed_without_the_pause(watcher, look_every):
    cache.clear()
    look_every(60)
    inbox = Inbox(watcher)
    end(inbox, reason=EndReason.OPERATOR)
    assert inbox.get() == News(NewsKind.SESSION_ENDED, EndReason.OPERATOR)


def test_end_is_noticed_after_the_commit_only(watcher, look_every):
    look_every(60)
    inbox = Inbox(watcher)
    with transaction.atomic():
        end(inbox)
        assert not watcher.looks_soon
    assert inbox.get() == ENDED


def test_end_that_is_rolled_back_is_no_news(watcher, look_every):
    look_every(60)
    inbox = Inbox(watcher)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        end(inbox)
        raise ZeroDivisionError
    assert not watcher.looks_soon
    assert inbox.is_empty()


def test_thread_ends_after_the_last_page_and_begins_with_the_next(watcher, look_every):
    look_every(60)
    assert watcher.thread is None
    inbox = Inbox(watcher)
    first = watcher.thread
    assert first.daemon
    watcher.remove(inbox.page)
    watcher.join()
    assert not first.is_alive()
    assert watcher.thread is None
    other = Inbox(watcher)
    assert watcher.thread not in (None, first)
    end(other)
    assert other.get() == ENDED


def test_thread_that_ends_does_not_look_again(watcher, look_every, monkeypatch):
    look_every(60)
    # A page that comes after the first question has a thread of its own.
    answers = iter([False, True])
    monkeypatch.setattr(watcher, "_has_pages", lambda: next(answers))
    assert watcher._pause() is False


def test_thread_that_cannot_start_leaves_nothing_behind(watcher, look_every, monkeypatch):
    look_every(60)
    session = make_session()
    get_store().create_user_session(session)

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError), watching(session):
            pass
    assert watcher.pages() == []
    inbox = Inbox(watcher)
    end(inbox)
    assert inbox.get() == ENDED


def test_page_leaves_also_while_the_watcher_is_locked(watcher, look_every):
    look_every(60)
    inbox = Inbox(watcher)
    # A garbage collection in the thread that has the lock.
    with watcher._lock:
        leaving = threading.Thread(target=watcher.remove, args=[inbox.page], daemon=True)
        leaving.start()
        leaving.join(PATIENCE)
        assert not leaving.is_alive()
        assert watcher.pages() == []


def test_thread_that_has_died_is_replaced(watcher, look_every):
    look_every(60)
    watcher._thread = dead = threading.Thread()
    inbox = Inbox(watcher)
    assert watcher.thread is not dead
    end(inbox)
    assert inbox.get() == ENDED


def test_connection_that_cannot_be_closed_does_not_end_the_thread(
    watcher, look_every, monkeypatch, caplog
):
    look_every(0.1)
    closed = threading.Event()

    close_connections = module.close_connections

    def fail_once():
        close_connections()
        if not closed.is_set():
            closed.set()
            raise OperationalError("secret")

    monkeypatch.setattr(module, "close_connections", fail_once)
    inbox = Inbox(watcher)
    assert closed.wait(PATIENCE)
    end(inbox)
    assert inbox.get() == ENDED
    assert caplog.messages[0] == "Open pages are not watched at present: OperationalError"


def test_page_that_was_told_is_told_once(watcher, look_every):
    look_every(60)
    inbox = Inbox(watcher)
    end(inbox)
    inbox.get()
    watcher.look_soon()
    watcher.join()
    assert inbox.is_empty()


def test_pages_survive_a_store_that_fails(watcher, look_every, monkeypatch, caplog):
    look_every(0.1)
    look, failures, looked = module.look, [1, 2, 3], threading.Event()

    def look_or_fail(pages):
        if failures:
            raise OperationalError(f"secret {failures.pop()}")
        yield from look(pages)
        looked.set()

    monkeypatch.setattr(module, "look", look_or_fail)
    inbox = Inbox(watcher)
    assert looked.wait(PATIENCE)
    end(inbox)
    assert inbox.get() == ENDED
    watcher.join()
    lines = [(line.levelno, line.getMessage()) for line in caplog.records]
    assert lines == [
        (logging.ERROR, "Open pages are not watched at present: OperationalError"),
        (logging.WARNING, "Open pages are watched again."),
    ]


def test_no_connection_is_open_between_two_looks(watcher, look_every, monkeypatch):
    look_every(0.1)
    look, seen = module.look, SimpleQueue()

    def look_and_note(pages):
        connection = connections["default"]
        before = connection.connection
        yield from look(pages)
        seen.put((before, connection, connection.connection))

    monkeypatch.setattr(module, "look", look_and_note)
    Inbox(watcher)
    for _ in range(2):
        before, connection, during = seen.get(timeout=PATIENCE)
        assert before is None
        assert during is not None
    watcher.remove(*watcher.pages())
    watcher.join()
    assert connection.connection is None


def test_thread_does_not_have_the_context_of_the_request(watcher, look_every, monkeypatch):
    look_every(0.1)
    seen = SimpleQueue()
    monkeypatch.setattr(module, "look", lambda pages: seen.put(variable.get()) or ())
    variable.set("of the request")
    Inbox(watcher)
    assert seen.get(timeout=PATIENCE) == "nothing"


def test_page_whose_event_loop_is_closed_does_not_stop_others(watcher, look_every):
    look_every(60)

    def tell(news):
        raise RuntimeError("Event loop is closed")

    inbox = Inbox(watcher)
    watcher.add(Page(inbox.session, tell))
    end(inbox)
    assert inbox.get() == ENDED
    watcher.join()
    assert watcher.pages() == []


def test_pages_are_told_that_the_server_stops(watcher, look_every, monkeypatch):
    look_every(60)
    stopping = threading.Event()
    monkeypatch.setattr(module, "is_stopping", stopping.is_set)
    inbox = Inbox(watcher)
    with pytest.raises(Empty):
        inbox._queue.get(timeout=0.01)
    stopping.set()
    assert inbox.get() == News(NewsKind.SERVER_STOPS)
    watcher.join()
    assert watcher.thread is None


def test_server_that_stops_waits_for_no_search(watcher, look_every, monkeypatch):
    look_every(60)
    stopping = threading.Event()

    def search_for_ever(pages):
        stopping.set()
        while True:
            yield pages[0], ENDED

    monkeypatch.setattr(module, "look", search_for_ever)
    monkeypatch.setattr(module, "is_stopping", stopping.is_set)
    inboxes = [Inbox(watcher), Inbox(watcher)]
    watcher.look_soon()
    assert {inbox.get().kind for inbox in inboxes} == {
        NewsKind.SESSION_ENDED,
        NewsKind.SERVER_STOPS,
    }
    watcher.join()


def test_server_stops_also_while_sessions_end_all_the_time(watcher, look_every, monkeypatch):
    look_every(60)
    monkeypatch.setattr(module, "look", lambda pages: watcher.look_soon() or ())
    stopping = threading.Event()
    monkeypatch.setattr(module, "is_stopping", stopping.is_set)
    inbox = Inbox(watcher)
    watcher.look_soon()
    stopping.set()
    assert inbox.get() == News(NewsKind.SERVER_STOPS)


@pytest.mark.parametrize(
    ("module_name", "attributes", "expected"),
    [
        ("uvicorn.server", {"should_exit": True}, True),
        ("uvicorn.server", {"should_exit": False}, False),
        ("gunicorn.workers.gthread", {"alive": False}, True),
        ("gunicorn.workers.gthread", {"alive": True}, False),
        # A handler of the project.
        ("shop.servers", {"alive": False}, False),
        ("shop.servers", {}, False),
    ],
)
def test_server_that_stops_is_recognized_by_its_handler(module_name, attributes, expected):
    def handle(self, *args):
        raise AssertionError

    server = type("Server", (), {"__module__": module_name, **attributes})()
    before = signal.signal(signal.SIGTERM, handle.__get__(server))
    try:
        assert module.is_stopping() is expected
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not module.is_stopping()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="The system has no fork().")
def test_forked_process_begins_without_pages():
    # The one that really forgets.
    module.watcher._pages.add(object())
    try:
        with warnings.catch_warnings(action="ignore"):
            child = os.fork()
        if child == 0:
            os._exit(len(module.watcher.pages()) + 10)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 10
    finally:
        module.watcher._pages.clear()
