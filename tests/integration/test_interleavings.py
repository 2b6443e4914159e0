"""Whatever comes between: requests of several hosts, taken step by step in any order."""

import random
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_bytes

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import make_session
from tests.support.caches import ALICES

# Orders tried in each test, others each time: all are too many.
TRIES = 60


class Request(threading.Thread):
    """Does something, and waits before each step until it is told to take it."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.is_done = False
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self.start()

    def run(self):
        self._go.acquire()
        try:
            with suppress(SessionChanged, SessionMissing):
                self.function()
        finally:
            self.is_done = True
            self._waits.release()

    def step(self):
        if not self.is_done:
            self._go.release()
            self._waits.acquire()

    @classmethod
    def wait(cls):
        request = threading.current_thread()
        if isinstance(request, cls):
            request._waits.release()
            request._go.acquire()


class WeakCache(LocMemCache):
    """No verb of several is one step; nor is add(), as in Django's cache of files."""

    def get(self, key, default=None, version=None):
        Request.wait()
        return super().get(key, default, version)

    def set(self, key, value, timeout=None, version=None):
        Request.wait()
        super().set(key, value, timeout, version)

    def add(self, key, value, timeout=None, version=None):
        Request.wait()
        if super().has_key(key, version):
            return False
        self.set(key, value, timeout, version)
        return True

    def delete(self, key, version=None):
        Request.wait()
        return super().delete(key, version)


class SteppedStore:
    """Each verb is a step, and so is what others are told of it."""

    def __init__(self, memory):
        self.memory = memory
        self.scope = memory.scope

    def __getattr__(self, verb):
        def step(*args, **kwargs):
            Request.wait()
            return getattr(self.memory, verb)(*args, **kwargs)

        return step


def take(functions, order):
    """Let the requests take their steps in `order`, and then each what is left."""
    requests = [Request(function) for function in functions]
    for index in order:
        requests[index].step()
    for request in requests:
        while not request.is_done:
            request.step()
        request.join()


def read(store, session):
    store.get_user_session(session.key)


def save(store, session):
    current = store.get_user_session(session.key)
    if current is not None:
        store.overwrite_user_session(current, replace(current, ticket=token_bytes(8)))


def touch(store, session):
    store.touch_user_session(session.key, renewed=datetime.now(UTC), expires=None)


def rekey(store, session):
    current = store.get_user_session(session.key)
    if current is not None:
        store.overwrite_user_session(current, make_session())


def delete(store, session):
    store.delete_user_session(session.key)


def delete_many(store, session):
    store.delete_user_sessions(ALICES)


@pytest.mark.parametrize(
    "requests",
    [
        (read, save),
        (read, touch),
        (read, rekey),
        (read, delete),
        (read, delete_many),
        (read, save, save),
        (read, save, rekey),
        (read, save, delete),
        (read, touch, delete_many),
        (read, read, save, rekey),
        (read, read, save, touch, delete),
    ],
    ids=lambda requests: "_".join(request.__name__ for request in requests),
)
@pytest.mark.parametrize(
    "is_warm_before",
    [pytest.param(False, id="cold"), pytest.param(True, id="warm", marks=pytest.mark.thorough)],
)
def test_what_is_served_after_a_write_is_what_it_wrote(settings, requests, is_warm_before):
    settings.CACHES = {
        "default": {"BACKEND": "tests.integration.test_interleavings.WeakCache"},
    }
    steps = [index for index in range(len(requests)) for _ in range(10)]
    for _ in range(TRIES):
        memory = InMemoryUserSessionStore()
        hosts = [CachedUserSessionStore(SteppedStore(memory)) for _ in requests]
        session = make_session()
        memory.create_user_session(session)
        if is_warm_before:
            hosts[0].get_user_session(session.key)
        random.shuffle(steps)
        take([partial(do, host, session) for do, host in zip(requests, hosts, strict=True)], steps)
        truth = memory.get_user_session(session.key)
        # Twice, as the first fills the cache.
        for host in hosts + hosts:
            assert host.get_user_session(session.key) == truth, steps
        caches["default"].clear()
