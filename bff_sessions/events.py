"""What happens to sessions, for parts of the package that the engine does not know.

A part subscribes in ``AppConfig.ready()`` with a function that returns what to call, or None if it
does not need the event.

- The end of sessions: the caller of a store's delete asks for the hook and hands it over as
  `on_ending`. So the store knows before it deletes whether anything needs the sessions, and reads
  none otherwise.
- A sign-in: the engine calls the hook once the session is saved and committed. The hook is
  synchronous, also for asynchronous callers, and may end the session.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from bff_sessions.contract import DeletedSession, OnEnding, UserSession

__all__ = ["Ending", "hook_for", "hook_for_sign_in", "subscribe", "subscribe_to_sign_ins"]

OnSignIn: TypeAlias = Callable[[], None]


class Ending(enum.Enum):
    """Why sessions end."""

    REVOKED = "revoked"
    REPLACED = "replaced"
    """The same session at the provider has signed in anew. Its tokens may be those of the new one:
    some providers end the session if one of its refresh tokens is revoked."""
    EXPIRED = "expired"


_subscribers: Final[list[Callable[[Ending], OnEnding | None]]] = []
_sign_in_subscribers: Final[list[Callable[[UserSession, float | None], OnSignIn | None]]] = []


def subscribe(find: Callable[[Ending], OnEnding | None]) -> None:
    """Ask `find` from now on what to call when sessions end; None if it needs no sessions.

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


def subscribe_to_sign_ins(find: Callable[[UserSession, float | None], OnSignIn | None]) -> None:
    """Ask `find` from now on what to call when a session with a new sign-in is committed.

    It gets the session, and when the provider says that the user signed in, see `Identity`.
    """
    if find not in _sign_in_subscribers:
        _sign_in_subscribers.append(find)


def hook_for_sign_in(session: UserSession, auth_time: float | None) -> OnSignIn | None:
    """Return what to call once `session` is committed; None if no subscriber needs it."""
    found = [find(session, auth_time) for find in _sign_in_subscribers]
    hooks = [hook for hook in found if hook is not None]
    if not hooks:
        return None

    def on_sign_in() -> None:
        for hook in hooks:
            hook()

    return on_sign_in
