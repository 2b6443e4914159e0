"""Notices of other processes, by which pages learn at once that their session has ended."""

import threading
from contextlib import contextmanager
from queue import Empty, SimpleQueue

import pytest
from django.db import connection, transaction

from bff_sessions.contract import UserSessionsFilter, UserSessionStoreNotices
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from bff_sessions.watching import News, NewsKind, listening, watching
from bff_sessions.watching import watcher as module

PATIENCE = 30  # Seconds.
ENDED = News(NewsKind.SESSION_ENDED)


class Notices(UserSessionStoreNotices):
    """Sends notices to the one who listens."""

    def __init__(self):
        self.sent = 0
        self.failures = 0
        self.listens = threading.Event()
        self._queue = SimpleQueue()

    def send_notice(self):
        self.sent += 1
        self._queue.put(None)
        if self.failures:
            raise OSError("secret")

    @contextmanager
    def listen_for_notices(self):
        if self.failures:
            self.failures -= 1
            raise OSError("secret")
        yield self.wait

    def wait(self, seconds):
        self.listens.set()
        try:
            self._queue.get(timeout=seconds)
        except Empty:
            return False
        return True


@pytest.fixture
def notices(watcher, look_every, monkeypatch):
    look_every(60)
    monkeypatch.setattr(listening, "_LONGEST", 0.05)
    notices = Notices()
    for place in (listening, module):
        monkeypatch.setattr(place, "find_notices", lambda: notices)
    return notices


def start():
    session = make_session()
    get_store().create_user_session(session)
    return session


def test_notice_of_another_process_is_followed_by_a_look(notices):
    session = start()
    with watching(session) as wait:
        assert notices.listens.wait(PATIENCE)
        get_store().delete_user_session(session.key)
        notices.send_notice()
        assert wait(PATIENCE) == ENDED


def test_each_end_sends_a_notice_after_its_commit(notices):
    sessions = [start(), start()]
    with transaction.atomic():
        revoke_sessions(UserSessionsFilter.of_session(sessions[0]))
        assert notices.sent == 0
    assert notices.sent == 1
    revoke_sessions(UserSessionsFilter.of_session(sessions[1]))
    revoke_sessions(UserSessionsFilter.of_session(sessions[1]))
    assert notices.sent == 2


def test_notice_that_cannot_be_sent_is_logged(notices, caplog):
    session = start()
    notices.failures = 1
    assert revoke_sessions(UserSessionsFilter.of_session(session)) == 1
    assert caplog.messages == ["Other processes could not be notified: OSError"]


def test_listener_tries_again_and_logs_once(notices, caplog):
    notices.failures = 3
    session = start()
    with watching(session) as wait:
        assert notices.listens.wait(PATIENCE)
        get_store().delete_user_session(session.key)
        notices.send_notice()
        assert wait(PATIENCE) == ENDED
    assert caplog.messages == ["No notices can be received: OSError"]


def test_listener_tries_again_if_the_store_cannot_be_asked(notices, monkeypatch, caplog):
    failures = [OSError("secret"), OSError("secret")]

    def find():
        if failures and threading.current_thread().name == "bff_sessions":
            raise failures.pop()
        return notices

    monkeypatch.setattr(listening, "find_notices", find)
    listener = listening.Listener(lambda: None, lambda: not notices.listens.is_set())
    listener.keep()
    assert notices.listens.wait(PATIENCE)
    listener.join()
    assert failures == []
    assert caplog.messages == ["No notices can be received: OSError"]


def test_listener_ends_if_notices_are_switched_off(notices, monkeypatch):
    found = [None, notices]
    monkeypatch.setattr(listening, "find_notices", lambda: found.pop())
    listener = listening.Listener(lambda: None, lambda: True)
    listener.keep()
    listener.join()
    assert not notices.listens.is_set()


def test_listener_ends_after_the_last_page(notices, watcher):
    with watching(start()):
        assert notices.listens.wait(PATIENCE)
    watcher.join()
    names = [thread.name for thread in threading.enumerate()]
    assert "bff_sessions" not in names


def test_notices_are_off_by_default(settings):
    assert listening.find_notices() is None
    settings.BFF_SESSIONS = {"EVENTS_NOTICES": True, "STORE": "tests.support.minimal.MinimalStore"}
    assert listening.find_notices() is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="about PostgreSQL")
def test_processes_that_share_postgresql_notify_each_other(watcher, settings):
    settings.BFF_SESSIONS = {"EVENTS_NOTICES": True, "EVENTS_EVERY": 60}
    session = start()
    with watching(session) as wait:
        revoke_sessions(UserSessionsFilter.of_session(session))
        assert wait(PATIENCE) == ENDED
        other = start()
    with watching(other) as wait:
        get_store().delete_user_session(other.key)
        get_store().send_notice()
        assert wait(PATIENCE) == ENDED
