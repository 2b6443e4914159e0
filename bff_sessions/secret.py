"""Keep secrets out of error reports.

A report such as Django's technical 500 page, the mail to ADMINS or a Sentry event shows the local
variables of every frame in a traceback. It looks into strings, bytes, mappings and sequences, and
shows the ``repr()`` of everything else.
"""

from __future__ import annotations

import inspect
import traceback
from types import FrameType
from typing import Generic, TypeVar

__all__ = ["Secret", "hide_frames"]

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


def hide_frames(error: BaseException) -> None:
    """Replace the traceback of `error`, and of what led to it, by a note with the same lines.

    Call it in an ``except`` clause around code that holds secrets in local variables, such as a
    database driver with the parameters of a statement. Then re-raise with a bare ``raise``. The
    traceback begins anew at the function that called this one's caller. The note names each file,
    line and function, without variables. An error that was being handled before the code was called
    keeps its frames.
    """
    outer = _callers(inspect.currentframe())
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = list(traceback.walk_tb(current.__traceback__))
        if frames and frames[0][0] in outer:
            return  # The project was already handling this one, and its frames stay.
        # Not extract_tb(), which reads the files.
        lines = [
            f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in frames
        ]
        current.__traceback__ = None
        if lines:
            current.add_note("Hidden frames, most recent call last:\n" + "\n".join(lines))
        current = current.__cause__ or current.__context__


def _callers(frame: FrameType | None) -> set[FrameType]:
    """Return the frames that called the caller of the function of `frame`."""
    callers: set[FrameType] = set()
    for _ in range(2):
        frame = None if frame is None else frame.f_back
    while frame is not None:
        callers.add(frame)
        frame = frame.f_back
    return callers
