"""From session data to a session of the store with its ticket, and back."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime
from types import SimpleNamespace
from typing import Any, TypeGuard

from bff_sessions import conf
from bff_sessions.contract import MOVED, UserSession, bound_values
from bff_sessions.engine import lifetimes
from bff_sessions.engine.merging import Serializer
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.identity import Identity
from bff_sessions.identity.session_ids import make_session_id
from bff_sessions.protection import open_sealed, seal

logger = logging.getLogger("django.security.SuspiciousSession")


def open_ticket(
    session: UserSession, serializer: Serializer
) -> tuple[bytes, dict[str, Any]] | None:
    """Return the data of `session`, serialized and as a dictionary.

    Log and return None if the ticket does not open.
    """
    try:
        bound_to = (session.key, session.partition, *session.bound)
        # A session that is moving has its ticket behind a mark.
        ticket = session.ticket.removeprefix(MOVED)
        plain = open_sealed(ticket, bound_to=bound_to, purpose="ticket")
        try:
            data = serializer.loads(plain)
        except Exception as error:
            # Without the error's own text: it may quote the data.
            raise TicketUnreadable(
                f"The data is not for {type(serializer).__name__}: {type(error).__name__}."
            ) from None
        if not isinstance(data, dict):
            raise TicketUnreadable("The data is not a dictionary.")
    except TicketUnreadable as error:
        logger.warning("Session %s cannot be opened. %s", session.public_id, error)
        return None
    return plain, data


def compose(
    key: str,
    plain: bytes,
    identity: Identity,
    old: UserSession | None,
    *,
    now: datetime,
    expires: datetime,
) -> UserSession:
    """Return the session that holds the serialized data `plain` under the store key `key`.

    Args:
        old: the session that this one goes on from; None if it begins.
    """
    session_id = identity.session_id
    if session_id is None and identity.subject_id is not None:
        # Not derived from the key, so that showing it gives nothing away.
        if old is not None and not is_other_subject(old, identity):
            session_id = old.session_id
        session_id = session_id or make_session_id()
    if lifetimes.goes_on(old, identity):
        sign_in_id, created = old.sign_in_id, old.created
    else:
        sign_in_id, created = secrets.token_hex(16), now
    partition = conf.PARTITION
    sign_in: dict[str, Any] = {
        "issuer": identity.issuer,
        "subject_id": identity.subject_id,
        "session_id": session_id,
        "user_id": identity.user_id,
        "sign_in_id": sign_in_id,
        "created": created,
    }
    bound_to = (key, partition, *bound_values(SimpleNamespace(**sign_in)))
    return UserSession(
        key=key,
        partition=partition,
        **sign_in,
        renewed=now,
        expires=expires,
        ticket=seal(plain, bound_to=bound_to, purpose="ticket"),
        version=1 if old is None else old.version + 1,
        # For a store that creates anew what moves to another key.
        user_agent=None if old is None else old.user_agent,
        address=None if old is None else old.address,
        last_seen=None if old is None else old.last_seen,
    )


def is_other_subject(old: UserSession, new: UserSession | Identity) -> bool:
    """Return whether `new` names another person, or another provider, than `old`."""
    return (old.issuer, old.subject_id) != (new.issuer, new.subject_id)


def is_session_key(key: object) -> TypeGuard[str]:
    """Return whether `key` may be a session key: the store is asked for nothing else."""
    return isinstance(key, str) and 8 <= len(key) <= 40 and key.isascii() and key.isprintable()
