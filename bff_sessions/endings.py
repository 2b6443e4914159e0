"""What must happen together with the end of sessions.

A part of the package subscribes with a function that says what to call for a kind of end. The
caller of a store's delete asks for it and hands it over as `on_ending`: the store knows before it
deletes whether anything needs the sessions, and reads none otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final

from bff_sessions.contract import DeletedSession, OnEnding

__all__ = ["Ending", "hook_for", "subscribe"]


class Ending(enum.Enum):
    """Why sessions end."""

    REVOKED = "revoked"
    EXPIRED = "expired"


_subscribers: Final[list[Callable[[Ending], OnEnding | None]]] = []


def subscribe(find: Callable[[Ending], OnEnding | None]) -> None:
    """Ask `find`, from now on, what to call when sessions end; None where it needs no sessions.

    A hook that raises keeps its sessions from ending.
    """
    if find not in _subscribers:
        _subscribers.append(find)


def hook_for(ending: Ending) -> OnEnding | None:
    """Return the `on_ending` of a delete; None if no subscriber needs the sessions."""
    hooks = [hook for find in _subscribers if (hook := find(ending)) is not None]
    if not hooks:
        return None

    def on_ending(batch: Sequence[DeletedSession]) -> None:
        for hook in hooks:
            hook(batch)

    return on_ending
