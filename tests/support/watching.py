"""Fixtures of tests that watch sessions."""

import pytest

from bff_sessions.watching import waiting
from bff_sessions.watching import watcher as module
from bff_sessions.watching.watcher import Watcher


@pytest.fixture
def watcher(transactional_db, monkeypatch):
    """The watcher of this test alone."""
    own = Watcher()
    monkeypatch.setattr(module, "watcher", own)
    monkeypatch.setattr(waiting, "watcher", own)
    yield own
    for page in own.pages():
        own.remove(page)
    own.join()


@pytest.fixture
def look_every(settings):
    """Sets EVENTS_EVERY: 60 seconds are longer than any test waits."""

    def look_every(seconds):
        before = getattr(settings, "BFF_SESSIONS", {})
        settings.BFF_SESSIONS = {**before, "EVENTS_EVERY": seconds}

    return look_every
