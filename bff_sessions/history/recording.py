"""Write the history.

If the history is in the database of the store, a row is written in the transaction in which its
session starts or ends: both are there, or neither is. Otherwise it is written after that, and is
missing if the process dies in between.

A fault is logged. It keeps no user from signing in or out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import router

from bff_sessions import events
from bff_sessions.contract import DeletedSession, Device, EndReason, OnEnding, UserSession
from bff_sessions.device.options import get_device_options
from bff_sessions.device.recording import device_of
from bff_sessions.events import OnStarting, current_request
from bff_sessions.history.models import ENDED, STARTED, Event
from bff_sessions.signals import session_started, sessions_ended
from bff_sessions.stores import database_of_store
from bff_sessions.stores.databases.containing import is_undone, savepoint
from bff_sessions.stores.databases.retrying import retry

logger = logging.getLogger("bff_sessions.history")

_UID = "bff_sessions.history"


def connect() -> None:
    """Subscribe to starts and ends of sessions."""
    events.subscribe(_find_ending_hook, to_own=True)
    events.subscribe_to_starts(_find_starting_hook)
    session_started.connect(_write_start_later, dispatch_uid=_UID)
    sessions_ended.connect(_write_ends_later, dispatch_uid=_UID)


def is_atomic() -> bool:
    """Return whether one transaction can write the history and a session."""
    return database_of_store() == _database()


def _find_ending_hook(reason: EndReason) -> OnEnding | None:
    return _write_ends if is_atomic() else None


def _find_starting_hook() -> OnStarting | None:
    return _write_start if is_atomic() else None


def _write_start_later(session: UserSession, **kwargs: Any) -> None:
    if not is_atomic():
        _write_start(session)


def _write_ends_later(sessions: Sequence[DeletedSession], **kwargs: Any) -> None:
    if not is_atomic():
        _write_ends(sessions)


def _write_start(session: UserSession) -> None:
    _write([session], what=STARTED)


def _write_ends(ended: Sequence[DeletedSession]) -> None:
    _write([session for session in ended if session.subject_id is not None], what=ENDED)


def _write(sessions: Sequence[UserSession | DeletedSession], what: str) -> None:
    if not sessions:
        return
    using = _database()
    try:
        with savepoint(using):
            # All processes write in one order, so that two of them cannot deadlock.
            rows = sorted(_to_rows(sessions, what), key=lambda row: row.public_id)
            add = Event._base_manager.using(using).bulk_create
            retry(using, lambda: add(rows, batch_size=500, ignore_conflicts=True))
    except Exception as error:
        if is_undone(using, error):
            raise
        # Only the class: the text may quote a subject or an address.
        logger.error(
            "The history lacks %d sessions that have %s: %s.",
            len(sessions),
            what,
            type(error).__name__,
        )


def _to_rows(sessions: Sequence[UserSession | DeletedSession], what: str) -> Iterable[Event]:
    now = datetime.now(UTC)
    for session in sessions:
        device = _current_device(session) if isinstance(session, UserSession) else session
        row = Event(
            moment=now,
            what=what,
            public_id=session.public_id,
            partition=session.partition,
            issuer=session.issuer,
            subject_id=session.subject_id or "",
            user_id=session.user_id,
            user_agent=device.user_agent,
            address=device.address,
        )
        if isinstance(session, DeletedSession):
            row.reason = None if session.reason is None else session.reason.value
            if session.actor is not None:
                row.actor_kind, row.actor_id = session.actor.kind.value, session.actor.id
        yield row


def _current_device(session: UserSession) -> UserSession | Device:
    """Return the device of the current request, as far as BFF_SESSIONS["DEVICE"] allows."""
    request, options = current_request.get(), get_device_options()
    return session if request is None or options is None else device_of(request, options)


def _database() -> str:
    return router.db_for_write(Event)
