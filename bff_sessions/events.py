"""Events of sessions, for parts of the package that the engine does not import.

A part subscribes in ``AppConfig.ready()`` with a function that returns a hook. It returns None if
it does not need the event.

- Sessions end: the caller of a store's delete passes the hook as `on_ending`. So the store knows
  in advance whether a subscriber needs the sessions, and otherwise does not read them.
- A user signs in: the engine calls the hook after the session is saved and committed. The hook is
  synchronous, also for asynchronous callers, and may end the session.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from bff_sessions.contract import DeletedSession, OnEnding, UserSession

OnSignIn: TypeAlias = Callable[[], None]


class Ending(enum.Enum):
    """Why sessions end."""

    REVOKED = "revoked"
    REPLACED = "replaced"
    """The same session at the provider has signed in again. Both may share tokens: some providers
    end their session if one of its refresh tokens is revoked."""
    EXPIRED = "expired"


class EndReason(enum.Enum):
    """Reasons why a session has ended, shown to its user on the sign-in page."""

    OTHER_BROWSER = "other_browser"
    """The user, from another browser."""
    OPERATOR = "operator"
    PROVIDER = "provider"
    """The OpenID Provider, by a logout token."""


_subscribers: Final[list[Callable[[Ending], OnEnding | None]]] = []
_sign_in_subscribers: Final[list[Callable[[UserSession, float | None], OnSignIn | None]]] = []


def subscribe(find: Callable[[Ending], OnEnding | None]) -> None:
    """Subscribe to the end of sessions.

    Args:
        find: returns the hook for a kind of end; None if it does not need the sessions. If the
            hook raises, its sessions do not end.
    """
    if find not in _subscribers:
        _subscribers.append(find)


def hook_for(ending: Ending) -> OnEnding | None:
    """Return the `on_ending` for a delete; None if no subscriber needs the sessions."""
    hooks = [hook for find in _subscribers if (hook := find(ending)) is not None]
    if not hooks:
        return None

    def on_ending(batch: Sequence[DeletedSession]) -> None:
        ended = distinct(batch)
        for hook in hooks:
            hook(ended)

    return on_ending


def distinct(ended: Sequence[DeletedSession]) -> list[DeletedSession]:
    """Return each sign-in once: a session that moves may stand under both keys for a moment."""
    return list({session.sign_in_id: session for session in ended}.values())


def subscribe_to_sign_ins(find: Callable[[UserSession, float | None], OnSignIn | None]) -> None:
    """Subscribe to sign-ins.

    Args:
        find: gets the session and the provider's time of the sign-in, see `Identity`. It returns
            the hook to call after the commit; None if it does not need the event.
    """
    if find not in _sign_in_subscribers:
        _sign_in_subscribers.append(find)


def hook_for_sign_in(session: UserSession, auth_time: float | None) -> OnSignIn | None:
    """Return the hook to call after `session` is committed; None if no subscriber needs it."""
    found = [find(session, auth_time) for find in _sign_in_subscribers]
    hooks = [hook for hook in found if hook is not None]
    if not hooks:
        return None

    def on_sign_in() -> None:
        for hook in hooks:
            hook()

    return on_sign_in
