"""What is done step by step, told once for synchronous and asynchronous callers.

A generator yields what it needs from outside: calls of the store, calls of `revocation`, pauses.
`run()` and `arun()` differ in who makes these calls.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar, cast

from bff_sessions import bans, revocation
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.engine import take_over
from bff_sessions.stores import get_store

__all__ = [
    "Block",
    "Call",
    "Steps",
    "arun",
    "ban",
    "call",
    "end",
    "end_matching",
    "move_here",
    "revoke",
    "run",
]

_T = TypeVar("_T")


class Call(NamedTuple):
    owner: Any
    """Of the function and of its ``a…`` twin; None: the configured store."""
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


Steps = Generator[Call | float, Any, _T]
"""Yields calls, and pauses in seconds."""


def call(verb: str, *args: Any, **kwargs: Any) -> Call:
    """Call a verb of the store."""
    return Call(None, verb, args, kwargs)


def move_here(session_key: str) -> Call:
    """Call `take_over.take_over()`."""
    return Call(take_over, "take_over", (session_key,), {})


def end(key: str, session: UserSession | None = None) -> Call:
    """Call `bans.delete_user_session()`."""
    return Call(bans, "delete_user_session", (key, session), {})


def end_matching(filter: UserSessionsFilter) -> Call:
    """Call `bans.delete_user_sessions()`."""
    return Call(bans, "delete_user_sessions", (filter,), {})


def ban(filter: UserSessionsFilter) -> Call:
    """Call `bans.ban()`."""
    return Call(bans, "ban", (filter,), {})


def revoke(key: str) -> Call:
    """Call `revocation.revoke_session()`."""
    return Call(revocation, "revoke_session", (key,), {})


class Block:
    """A ``with`` block, or an ``async with`` block, with steps to enter and to leave it."""

    def __init__(self, enter: Callable[[], Steps[None]], leave: Callable[[], Steps[None]]) -> None:
        self._enter = enter
        self._leave = leave

    def around(self, steps: Steps[_T]) -> Steps[_T]:
        """The block as steps, with `steps` in it."""
        yield from self._enter()
        try:
            result = yield from steps
        except Exception:  # Whoever is killed, or whose loop is stopped, takes no more steps.
            yield from self._leave()
            raise
        yield from self._leave()
        return result

    def __enter__(self) -> None:
        run(self._enter())

    def __exit__(self, *exc_info: object) -> None:
        run(self._leave())

    async def __aenter__(self) -> None:
        await arun(self._enter())

    async def __aexit__(self, *exc_info: object) -> None:
        await arun(self._leave())


def run(steps: Steps[_T]) -> _T:
    try:
        return _take(steps)
    except BaseException as error:
        _forget_variables(error)
        raise


async def arun(steps: Steps[_T]) -> _T:
    """See run()."""
    try:
        return await _atake(steps)
    except BaseException as error:
        _forget_variables(error)
        raise


def _take(steps: Steps[_T]) -> _T:
    resume: Any = steps.send
    argument: Any = None
    try:
        while True:
            request = resume(argument)
            try:
                if isinstance(request, float):
                    time.sleep(request)
                    resume, argument = steps.send, None
                else:
                    owner, name, args, kwargs = request
                    perform = getattr(get_store() if owner is None else owner, name)
                    resume, argument = steps.send, perform(*args, **kwargs)
            except Exception as error:
                resume, argument = steps.throw, error
    except StopIteration as stop:
        return cast(_T, stop.value)


async def _atake(steps: Steps[_T]) -> _T:
    """See _take()."""
    resume: Any = steps.send
    argument: Any = None
    try:
        while True:
            request = resume(argument)
            try:
                if isinstance(request, float):
                    await asyncio.sleep(request)
                    resume, argument = steps.send, None
                else:
                    owner, name, args, kwargs = request
                    perform = getattr(get_store() if owner is None else owner, f"a{name}")
                    resume, argument = steps.send, await perform(*args, **kwargs)
            except Exception as error:
                resume, argument = steps.throw, error
    except StopIteration as stop:
        return cast(_T, stop.value)


def _forget_variables(error: BaseException | None) -> None:
    """Empty the functions that `error` came through, which knew keys and session data.

    Whoever makes an error report would show them. Django's own means to prevent that,
    ``sensitive_variables``, is known to Django alone and reaches into no generator.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
