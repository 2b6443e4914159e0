"""What is done step by step, told once for synchronous and asynchronous callers.

A generator yields what it needs from outside: calls of the store, calls of `revocation`, pauses.
`run()` and `arun()` differ in who makes these calls. Whatever interrupts a call, also a cancelled
task or a signal, is raised in the generator, which then cleans up by further steps.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
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
    "Shielded",
    "Steps",
    "arun",
    "ban",
    "call",
    "end",
    "end_matching",
    "finally_take",
    "insist",
    "move_here",
    "revoke",
    "run",
]

logger = logging.getLogger("bff_sessions.engine")

_T = TypeVar("_T")


class Call(NamedTuple):
    owner: Any
    """Of the function and of its ``a…`` twin; None: the configured store."""
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Shielded(NamedTuple):
    steps: Generator[Any, Any, Any]
    """Are taken to their end even if the task is cancelled meanwhile, and again. The cancellation
    is raised after them."""


Steps = Generator[Call | Shielded | float, Any, _T]
"""Yields calls, shielded steps, and pauses in seconds."""


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


def finally_take(last: Callable[[], Steps[None]], *, after: Steps[_T]) -> Steps[_T]:
    """Take the steps `after`, and then those of `last`, whether or not the first ones failed."""
    try:
        result = yield from after
    except GeneratorExit:  # The caller is closed, and cannot take steps.
        raise
    except BaseException:
        yield from last()
        raise
    yield from last()
    return result


def insist(make: Callable[[], Steps[_T]]) -> Steps[_T]:
    """Take steps once more if they are interrupted, and raise the interruption after that.

    For steps that may be taken twice. An event loop that ends cancels every task, also those that
    finish shielded steps.
    """
    try:
        return (yield from make())
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        yield from make()
        raise


class Block:
    """A ``with`` block, or an ``async with`` block, with steps to enter and to leave it.

    A task that is cancelled takes all steps to leave before it ends.

    Args:
        enter: must undo by itself what it did if it fails or is cancelled.
    """

    def __init__(self, enter: Callable[[], Steps[None]], leave: Callable[[], Steps[None]]) -> None:
        self.enter = enter
        self.leave = leave

    def __enter__(self) -> None:
        run(self.enter())

    def __exit__(self, *exc_info: object) -> None:
        run(self.leave())

    async def __aenter__(self) -> None:
        await arun(self.enter())

    async def __aexit__(self, *exc_info: object) -> None:
        await _finish(self.leave())


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
                if isinstance(request, Call):
                    owner, name, args, kwargs = request
                    perform = getattr(get_store() if owner is None else owner, name)
                    resume, argument = steps.send, perform(*args, **kwargs)
                elif isinstance(request, Shielded):
                    resume, argument = steps.send, _take(request.steps)
                else:
                    time.sleep(request)
                    resume, argument = steps.send, None
            except BaseException as error:
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
                if isinstance(request, Call):
                    owner, name, args, kwargs = request
                    perform = getattr(get_store() if owner is None else owner, f"a{name}")
                    resume, argument = steps.send, await perform(*args, **kwargs)
                elif isinstance(request, Shielded):
                    resume, argument = steps.send, await _finish(request.steps)
                else:
                    await asyncio.sleep(request)
                    resume, argument = steps.send, None
            except GeneratorExit:  # This coroutine is closed, and cannot await anything.
                raise
            except BaseException as error:
                resume, argument = steps.throw, error
    except StopIteration as stop:
        return cast(_T, stop.value)


async def _finish(steps: Steps[_T]) -> _T:
    """Take `steps` to their end, and only then raise that this task was cancelled meanwhile.

    Not by leaving them to a task in the background: the thread in which Django runs synchronous
    code for a request ends with the request, and the event loop ends with its main task.
    """
    cancelled = None
    # An event loop that ends cancels all tasks, also one that has not begun.
    while inspect.getgeneratorstate(steps) == inspect.GEN_CREATED:
        task = asyncio.ensure_future(arun(steps))
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (lost := task.exception()) is not None:
        # The name only: the text may hold a key.
        logger.warning("A cancelled request could not finish: %s.", type(lost).__name__)
    raise cancelled


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
