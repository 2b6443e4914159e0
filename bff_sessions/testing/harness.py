"""The base class of the tests of every store."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import TestCase, mock

from asgiref.sync import async_to_sync
from django.db import connections

from bff_sessions.contract import (
    DeletedSession,
    UserSession,
    UserSessionsFilter,
    UserSessionStore,
    UserSessionUpdate,
)
from bff_sessions.protection import open_sealed
from bff_sessions.testing.fixtures import make_session, sealed

if TYPE_CHECKING:
    _Mixin = TestCase
else:
    # Not a TestCase: test runners would collect it wherever it is imported.
    _Mixin = object


class Twins:
    """A store whose verbs call their asynchronous twins."""

    def __init__(
        self, store: UserSessionStore, to_sync: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._store = store
        self._to_sync = to_sync

    def __getattr__(self, verb: str) -> Any:
        return self._to_sync(getattr(self._store, f"a{verb}"))


class StoreTests(_Mixin):
    """A mixin for a ``TestCase`` that defines `make_store()`."""

    store: Any
    """The store under test, or its `Twins`."""

    def make_store(self) -> UserSessionStore:
        """Return an empty store. Each test calls this once."""
        raise NotImplementedError(f"{type(self).__name__} must define make_store().")

    def to_sync(self, twin: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls `twin`, the asynchronous twin of a verb, and waits for it.

        The default runs each call in a new event loop. Override it if your store connects anew in
        each loop, and run all calls in one. Tests call it from several threads.
        """
        return async_to_sync(twin)

    def setUp(self) -> None:
        super().setUp()
        self.store = self.make_store()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _add_twins(cls)

    def create(self, **fields: Any) -> UserSession:
        """Add a session and return it."""
        session = make_session(**fields)
        self.store.create_user_session(session)
        return session

    def create_sealed(self, **fields: Any) -> UserSession:
        """Add a session with a ticket that opens, and return it."""
        session = sealed(make_session(**fields), b"the data")
        self.store.create_user_session(session)
        return session

    def read(self, key: str) -> UserSession | None:
        """Return the session under `key`; None if it is missing or has moved."""
        session: UserSession | None = self.store.get_user_session(key)
        return None if session is None or session.is_moved else session

    def update_of(self, session: UserSession, **fields: Any) -> UserSessionUpdate:
        """Return the update that saves `session` with other `fields`."""
        return UserSessionUpdate.of(replace(session, **fields))

    def found(self, **criteria: Any) -> set[str]:
        """Return the keys of the sessions that match `criteria`."""
        sessions = self.store.get_user_sessions(UserSessionsFilter(**criteria))
        return {session.key for session in sessions if not session.is_moved}

    def race(self, *contenders: Callable[[], Any]) -> list[Any]:
        """Run all `contenders` at once, each in a thread. Return their results or exceptions."""
        results: list[Any] = [None] * len(contenders)
        barrier = threading.Barrier(len(contenders))

        def run(index: int) -> None:
            barrier.wait()
            try:
                results[index] = contenders[index]()
            except Exception as error:
                results[index] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(contenders))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def _itself(self) -> UserSessionStore:
        """Return the store itself, also if the test calls its twins."""
        store = self.store
        return store._store if isinstance(store, Twins) else store

    @contextmanager
    def meanwhile(
        self, verb: str, action: Callable[[UserSessionStore], None], *, after: bool = False
    ) -> Iterator[None]:
        """Run `action` inside the block, before or `after` the first call of `verb`.

        If the block does not call `verb`, run `action` at the end of the block.
        """
        store = self._itself()
        called: list[str] = []
        original = getattr(store, verb)

        def intercept(*args: Any, **kwargs: Any) -> Any:
            is_first = not called
            called.append(verb)
            if is_first and not after:
                action(store)
            result = original(*args, **kwargs)
            if is_first and after:
                action(store)
            return result

        with mock.patch.object(store, verb, intercept):
            yield
        if not called:
            action(store)

    def has_ability(self, ability: type) -> bool:
        """Return whether the store has `ability`."""
        return self._itself().get_ability(ability) is not None

    def check_opens(self, session: UserSession | DeletedSession | None) -> None:
        """Fail unless the ticket of `session` opens."""
        assert session is not None
        bound_to = (session.key, session.partition, *session.bound)
        data = open_sealed(session.ticket, bound_to=bound_to, purpose="ticket")
        self.assertEqual(data, b"the data")

    def was_left(self, session: UserSession) -> bool:
        """Delete `session`. Return whether the store still had it, expired or not."""
        deleted: bool = self.store.delete_user_session(session.key)
        return deleted


def _add_twins(cls: type[StoreTests]) -> None:
    for name, test in list(vars(cls).items()):
        if name.startswith("test_"):
            setattr(cls, f"{name}_async", _asynchronously(test))


def _asynchronously(test: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(test)
    def twin(self: StoreTests) -> None:
        self.store = Twins(self.store, self.to_sync)
        test(self)

    return twin
