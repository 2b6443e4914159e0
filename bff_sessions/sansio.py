"""One algorithm for synchronous and asynchronous callers, in the way of sans-I/O.

A generator yields the actions that it needs from outside: calls, pauses, shielded steps. `run()`
and `arun()` differ in how they perform these actions. Whatever interrupts an action, also a
cancelled task or a signal, is raised in the generator, which then cleans up by further steps.

Both hide every frame below them if an error leaves them: steps, stores and drivers hold session
keys and session data in local variables, which error reports show.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from asgiref.sync import sync_to_async

from bff_sessions.secret import hide_frames

logger = logging.getLogger("bff_sessions.engine")

_P = ParamSpec("_P")
_T = TypeVar("_T")


Action: TypeAlias = tuple[Callable[[], Any], Callable[[], Awaitable[Any]]]
"""What steps ask their caller to do: a function, and its asynchronous twin."""

Steps = Generator[Action, Any, _T]
"""Yields actions, and returns a result. Take them with ``yield from``, run() or arun()."""


def call(
    function: Callable[_P, _T],
    twin: Callable[_P, Awaitable[_T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Steps[_T]:
    """Call `function`, or await its asynchronous `twin`."""
    result: _T = yield partial(function, *args, **kwargs), partial(twin, *args, **kwargs)
    return result


def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Steps[_T]:
    """Call `function`, for asynchronous callers in the thread of synchronous code."""
    return call(function, sync_to_async(function), *args, **kwargs)


def pause(seconds: float) -> Steps[None]:
    """Wait."""
    yield partial(time.sleep, seconds), partial(asyncio.sleep, seconds)


def shield(steps: Steps[_T]) -> Steps[_T]:
    """Take `steps` to their end even if the task is cancelled meanwhile, and again.

    The cancellation is raised after them.
    """
    result: _T = yield partial(_take, steps), partial(_finish, steps)
    return result


def finally_take(first: Steps[_T], *, then: Callable[[], Steps[None]]) -> Steps[_T]:
    """Take the steps of `first`, and then those of `then`, whether or not the first ones failed."""
    try:
        result = yield from first
    except GeneratorExit:  # The caller is closed, and cannot take steps.
        raise
    except BaseException:
        yield from then()
        raise
    yield from then()
    return result


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
    """Take `steps` and return their result."""
    handled = sys.exception()
    try:
        return _take(steps)
    except BaseException as error:
        hide_frames(error, handled=handled)
        raise


async def arun(steps: Steps[_T]) -> _T:
    """See run()."""
    handled = sys.exception()
    try:
        return await _atake(steps)
    except BaseException as error:
        hide_frames(error, handled=handled)
        raise


def _take(steps: Steps[_T]) -> _T:
    resume: Any = steps.send
    argument: Any = None
    try:
        while True:
            perform, _ = resume(argument)
            try:
                resume, argument = steps.send, perform()
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
            _, perform = resume(argument)
            try:
                resume, argument = steps.send, await perform()
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
