"""Makes a verb and its asynchronous twin of steps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from bff_sessions.sansio import Steps, arun, run

_P = ParamSpec("_P")
_T = TypeVar("_T")


def twins(
    steps: Callable[Concatenate[Any, _P], Steps[_T]],
) -> tuple[
    Callable[Concatenate[Any, _P], _T],
    Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]],
]:
    """Return the verb that takes `steps`, and its asynchronous twin."""

    @wraps(steps)
    def verb(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run(steps(self, *args, **kwargs))

    @wraps(steps)
    async def twin(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await arun(steps(self, *args, **kwargs))

    return verb, twin
