"""Asynchronous twins of the verbs of a store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

_P = ParamSpec("_P")
_T = TypeVar("_T")


def twin_of(
    verb: Callable[Concatenate[Any, _P], _T],
) -> Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]]:
    """Return the asynchronous twin of `verb`: it calls the store's own verb in a thread."""
    name = verb.__name__

    async def twin(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        result: _T = await sync_to_async(getattr(self, name))(*args, **kwargs)
        return result

    # Not all attributes: the twin of an abstract verb is not abstract.
    functools.update_wrapper(twin, verb, assigned=["__module__"], updated=[])
    twin.__name__ = f"a{name}"
    twin.__qualname__ = f"{verb.__qualname__.removesuffix(name)}a{name}"
    twin.__doc__ = f"See {name}()."
    return twin
