"""Events of sessions, for parts of the package that the engine does not import.

A part subscribes in ``AppConfig.ready()`` with a function that returns a hook. It returns None if
it does not need the event.

- Sessions end: the caller of a store's delete passes the hook as `on_ending`. So the store knows
  in advance whether a subscriber needs the sessions, and otherwise does not read them.
- A session starts: the engine calls the hook in the transaction that writes the session.
- A user signs in: the engine calls the hook after the session is saved and committed. The hook is
  synchronous, also for asynchronous callers, and may end the session.

`bff_sessions.signals` announces starts and ends to a project, after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.contract import Actor, DeletedSession, EndReason, OnEnding, UserSession
from bff_sessions.stores.live import is_live

OnStarting: TypeAlias = Callable[[UserSession], None]
OnSignIn: TypeAlias = Callable[[], None]
FindOnSignIn: TypeAlias = Callable[[UserSession, float | None, float | None], OnSignIn | None]
OnEnded: TypeAlias = Callable[[], None]

current_request: Final[ContextVar[HttpRequest | None]] = ContextVar(
    "bff_sessions_request", default=None
)
"""The request that is being answered, if the middleware is ours."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The reason for which sessions end, and the actor that ends them.

    Raises:
        TypeError: if `reason` is not an `EndReason`, or `actor` not an `Actor`.
    """

    reason: EndReason
    actor: Actor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.reason, EndReason):
            raise TypeError(f"reason must be an EndReason, not {type(self.reason).__name__}.")
        if not (self.actor is None or isinstance(self.actor, Actor)):
            raise TypeError(f"actor must be an Actor or None, not {type(self.actor).__name__}.")

    def stamp(self, ended: Sequence[DeletedSession]) -> list[DeletedSession]:
        """Return the sessions with reason and actor, each sign-in once.

        A session that moves may stand under both keys for a moment.
        """
        now = datetime.now(UTC)
        return [self._stamp(one, now) for one in {one.sign_in_id: one for one in ended}.values()]

    def _stamp(self, session: DeletedSession, now: datetime) -> DeletedSession:
        if self.reason is EXPIRED.reason or not is_live(session, now):
            # Also if it was revoked: no user could use it any more.
            return replace(session, reason=_why_expired(session), actor=None)
        return replace(session, reason=self.reason, actor=self.actor)


EXPIRED: Final = Cause(EndReason.EXPIRED)
"""The cause of ends in a clean-up, some of which are for the absolute lifetime."""


def _why_expired(session: DeletedSession) -> EndReason:
    lifetime, expires = conf.ABSOLUTE_LIFETIME, session.expires
    if lifetime is None or session.subject_id is None:
        return EndReason.EXPIRED
    # The engine cuts the expiry off at the absolute lifetime.
    is_cut = expires is None or session.created + lifetime <= expires
    return EndReason.ABSOLUTE_LIFETIME if is_cut else EndReason.EXPIRED


_subscribers: Final[list[tuple[Callable[[EndReason], OnEnding | None], bool]]] = []
_commit_subscribers: Final[list[Callable[[], OnEnded | None]]] = []
_start_subscribers: Final[list[Callable[[], OnStarting | None]]] = []
_sign_in_subscribers: Final[list[FindOnSignIn]] = []


def subscribe(find: Callable[[EndReason], OnEnding | None], *, to_own: bool = False) -> None:
    """Subscribe to the end of sessions.

    Args:
        find: returns the hook for a reason; None if it does not need the sessions. For a clean-up,
            the reason is EXPIRED. The hook gets sessions with their own reasons. If it raises, its
            sessions do not end.
        to_own: whether to call it also if a request deletes its own session, as
            ``django.contrib.auth.logout()`` does. Otherwise, that is one statement.
    """
    if (find, to_own) not in _subscribers:
        _subscribers.append((find, to_own))


def hook_for(cause: Cause, *, is_own: bool = False) -> OnEnding | None:
    """Return the `on_ending` for a delete; None if no subscriber needs the sessions."""
    wanted = [find for find, to_own in _subscribers if to_own or not is_own]
    hooks = [hook for find in wanted if (hook := find(cause.reason)) is not None]
    if not hooks:
        return None

    def on_ending(batch: Sequence[DeletedSession]) -> None:
        ended = cause.stamp(batch)
        for hook in hooks:
            hook(ended)

    return on_ending


def subscribe_to_commits(find: Callable[[], OnEnded | None]) -> None:
    """Subscribe to the commits of ends, without the sessions.

    Args:
        find: returns the function to call after the commit; None if it does not need the event.
            It must not raise.
    """
    if find not in _commit_subscribers:
        _commit_subscribers.append(find)


def hooks_for_commit() -> list[OnEnded]:
    """Return the functions to call after the end of sessions is committed."""
    return [hook for find in _commit_subscribers if (hook := find()) is not None]


def subscribe_to_starts(find: Callable[[], OnStarting | None]) -> None:
    """Subscribe to the start of sessions.

    Args:
        find: returns the hook; None if it does not need to be in the store's transaction. If the
            hook raises, the session does not start.
    """
    if find not in _start_subscribers:
        _start_subscribers.append(find)


def hook_for_start() -> OnStarting | None:
    """Return the hook to call in the transaction of a start; None if no subscriber needs it."""
    hooks = [hook for find in _start_subscribers if (hook := find()) is not None]
    if not hooks:
        return None

    def on_starting(session: UserSession) -> None:
        for hook in hooks:
            hook(session)

    return on_starting


def subscribe_to_sign_ins(find: FindOnSignIn) -> None:
    """Subscribe to sign-ins.

    Args:
        find: gets the session, and the provider's times of the sign-in and of the ID token, which
            are `auth_time` and `issued_at` of an `Identity`. It returns the hook to call after the
            commit; None if it does not need the event.
    """
    if find not in _sign_in_subscribers:
        _sign_in_subscribers.append(find)


def hook_for_sign_in(
    session: UserSession, auth_time: float | None, issued_at: float | None
) -> OnSignIn | None:
    """Return the hook to call after `session` is committed; None if no subscriber needs it."""
    found = [find(session, auth_time, issued_at) for find in _sign_in_subscribers]
    hooks = [hook for hook in found if hook is not None]
    if not hooks:
        return None

    def on_sign_in() -> None:
        for hook in hooks:
            hook()

    return on_sign_in
