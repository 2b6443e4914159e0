"""Keep secrets out of error reports.

A report such as Django's technical 500 page, the mail to ADMINS or a Sentry event shows the local
variables of every frame in a traceback. It looks into strings, bytes, mappings and sequences, and
shows the ``repr()`` of everything else.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T_co = TypeVar("_T_co", covariant=True)


class Secret(Generic[_T_co]):
    """A value that a report does not show.

    Pass `reveal()` on as an argument; do not assign its result to a local variable.
    """

    __slots__ = ("_value",)

    def __init__(self, value: _T_co) -> None:
        self._value = value

    def reveal(self) -> _T_co:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"


# A class: contextlib.contextmanager would restore the traceback.
class hidden_frames:
    """Hide the frames that an error passes through, see `hide_frames()`.

    Use ``with hidden_frames():`` or decorate a function, also a coroutine function, with
    ``@hidden_frames()``. The function that has the ``with`` block is hidden too. Its callers stay
    visible, and so do errors that were already being handled.
    """

    def __enter__(self) -> None:
        self._handled = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if error is not None:
            hide_frames(error, handled=self._handled)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with hidden_frames():
                return function(*args, **kwargs)

        @wraps(function)
        async def acall(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            with hidden_frames():
                return await cast(Any, function(*args, **kwargs))

        return cast(Any, acall) if inspect.iscoroutinefunction(function) else call


def guarded(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call `function`, and hide every frame below if it raises."""
    handled = sys.exception()
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        hide_frames(error, handled=handled)
        raise


def hide_frames(error: BaseException, *, handled: BaseException | None = None) -> None:
    """Replace the traceback of `error`, and of what led to it, by a note with the same lines.

    Call it in an ``except`` clause around code that holds secrets in local variables, such as a
    database driver with the parameters of a statement. Then re-raise with a bare ``raise``. The
    traceback begins anew at the function that called this one's caller. The note names each file,
    line and function, without variables.

    Args:
        handled: an error that was already being handled before that code ran. It and what led to
            it stay as they are, unless that code raised the same error again.
    """
    kept = () if handled is None or handled is error else _chain(handled, set())
    for current in list(_chain(error, {id(each) for each in kept})):
        lines = [
            f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_qualname}"
            for frame, line in traceback.walk_tb(current.__traceback__)
        ]
        current.__traceback__ = None
        if lines:
            current.add_note("Hidden frames, most recent call last:\n" + "\n".join(lines))


def _chain(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """Yield `error` and the errors that led to it, without those in `seen`."""
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
