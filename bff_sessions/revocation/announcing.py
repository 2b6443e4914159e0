"""Announce starts and ends of sessions to the project, in steps and after the commit.

The signals are sent by send_robust(), because the session has already started or ended. A
receiver's fault must not look like a failed sign-in or revocation. Django logs the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bff_sessions.contract import Actor, DeletedSession, EndReason, UserSession
from bff_sessions.events import current_request, hooks_for_commit
from bff_sessions.sansio import Steps, call
from bff_sessions.signals import session_started, sessions_ended
from bff_sessions.stores import get_store


def announces_ends() -> bool:
    """Return whether `sessions_ended` has a receiver."""
    return sessions_ended.has_listeners(type(get_store()))


def announce_start(session: UserSession) -> Steps[None]:
    """Announce that a user has signed in to `session`."""
    if session_started.has_listeners(type(get_store())):
        yield from _on_commit(partial(_send_start, session))


def announce_ends(ended: Sequence[DeletedSession]) -> Steps[None]:
    """Announce that the sessions, which have a reason, have ended."""
    if not ended:
        return
    yield from announce_commit()
    if announces_ends():
        yield from _on_commit(partial(send_ends, ended))


def announce_commit() -> Steps[None]:
    """Announce, without the sessions, that some have ended."""
    for hook in hooks_for_commit():
        yield from _on_commit(hook)


def send_ends(ended: Sequence[DeletedSession]) -> None:
    """Send `sessions_ended` for each reason and actor in `ended`, without anonymous sessions."""
    groups: dict[tuple[EndReason | None, Actor | None], list[DeletedSession]] = {}
    for session in ended:
        if session.subject_id is not None:
            groups.setdefault((session.reason, session.actor), []).append(session)
    for (reason, actor), sessions in groups.items():
        sessions_ended.send_robust(
            type(get_store()),
            sessions=sessions,
            reason=reason,
            actor=actor,
            request=current_request.get(),
        )


def _send_start(session: UserSession) -> None:
    session_started.send_robust(type(get_store()), session=session, request=current_request.get())


def _on_commit(callback: Callable[[], None]) -> Steps[None]:
    # The twin calls it in the thread of synchronous code, too.
    store = get_store()
    return call(store.on_commit, store.aon_commit, callback)
