"""Sessions for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex
from typing import Any

from bff_sessions.contract import UserSession
from bff_sessions.protection import open_sealed, seal


def make_session(**fields: Any) -> UserSession:
    """Return a live session of alice with a random store key and ticket; `fields` override."""
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {
        "key": token_hex(32),
        "partition": "default",
        "issuer": "https://idp.example",
        "subject_id": "alice",
        "session_id": token_hex(16),
        "user_id": "42",
        "sign_in_id": token_hex(16),
        "created": now,
        "renewed": now,
        "expires": now + timedelta(hours=1),
        "ticket": token_bytes(32),
    }
    return UserSession(**defaults | fields)


def sealed(session: UserSession, data: bytes) -> UserSession:
    """Return `session` with a ticket that opens and holds `data`."""
    bound_to = (session.key, session.partition, *session.bound)
    return replace(session, ticket=seal(data, bound_to=bound_to, purpose="ticket"))


def altered(session: UserSession, **fields: Any) -> UserSession:
    """Return `session` with other `fields`, and with its ticket bound to them.

    Use it in tests that let time pass, for example. If a test changes a field alone, the ticket
    does not open.

    Raises:
        TicketUnreadable: if the ticket of `session` does not open.
    """
    bound_to = (session.key, session.partition, *session.bound)
    data = open_sealed(session.ticket, bound_to=bound_to, purpose="ticket")
    return sealed(replace(session, **fields), data)


def impossible_keys(key: str) -> list[str]:
    """Return texts from outside that no session has as its key; some resemble `key`."""
    return [
        "",
        "\0",
        f"{key}\0",
        f"{key} ",
        key[:-1],
        key.upper(),
        "\u00fc" * 64,
        "\U0001f511",
        "\ud800",
        f"{key}\udfff",
        "../" * 20,
        "%" * 65,
        "x" * 10_000,
        f"{key}x",
    ]


def ago(seconds: float) -> datetime:
    """Return the moment `seconds` ago."""
    return datetime.now(UTC) - timedelta(seconds=seconds)
