"""A session that every host opens, to find a host with other encryption keys than the rest.

The canary belongs to no user and no browser: no session key leads to its store key. All hosts of an
application share it. The first one saves it, and each one that finds it older than an hour saves it
again, with the newest encryption key. So its ticket has mostly been sealed on another host. It does
not expire, and one that opens on no host is replaced after a day.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionStore, UserSessionUpdate
from bff_sessions.exceptions import (
    SessionChanged,
    SessionExists,
    SessionMissing,
    TicketUnreadable,
)
from bff_sessions.findings import Finding, Verdict, fault, ok, warning
from bff_sessions.protection import is_current, open_sealed, seal, store_key

PARTITION: Final = "bff_sessions canary"
"""The partition of all canaries: no application that shares the store has this name."""

_RENEW_AFTER: Final = timedelta(hours=1)
_REPLACE_AFTER: Final = timedelta(days=1)
_OTHER_KEYS: Final = (
    "A session that another host saved does not open here. {error} Give all hosts the same "
    "ENCRYPTION_KEYS, or SECRET_KEY and SECRET_KEY_FALLBACKS. If you have replaced a key on "
    "purpose, this fault ends by itself at {end} UTC."
)


def check_canary(store: UserSessionStore) -> Finding:
    """Open the canary; save it if there is none, or if it is old."""
    # Applications that share the store may have other encryption keys.
    key = store_key(PARTITION, conf.PARTITION)
    found = store.get_user_session(key)
    if found is not None:
        finding, age = _open(found), datetime.now(UTC) - found.renewed
        opens = finding.verdict is Verdict.OK
        if opens and is_current(found.ticket) and age < _RENEW_AFTER:
            return finding
        # Do not hide a fault: other hosts may still seal with a key that is missing here.
        if not opens and age < _REPLACE_AFTER:
            return finding
    is_saved = _save(store, key, found)
    saved = store.get_user_session(key)
    if saved is not None:
        return _open(saved)
    if is_saved:
        return fault("ticket", "A session that was just saved cannot be read.")
    # For some minutes, a store may refuse the key of a session that has ended.
    return warning("ticket", "Not checked, because an operator has just ended the canary.")


def _open(canary: UserSession) -> Finding:
    try:
        open_sealed(canary.ticket, bound_to=_bound(canary), purpose="ticket")
    except TicketUnreadable as error:
        end = f"{canary.renewed + _REPLACE_AFTER:%Y-%m-%d %H:%M}"
        return fault("ticket", _OTHER_KEYS.format(error=error, end=end))
    return ok("ticket", "A session that this or another host saved opens.")


def _save(store: UserSessionStore, key: str, found: UserSession | None) -> bool:
    """Save a new canary. Return False if another host, or the store, does not allow it now."""
    now = datetime.now(UTC)
    canary = UserSession(
        key=key,
        partition=PARTITION,
        issuer=None,
        subject_id=None,
        session_id=None,
        user_id=None,
        sign_in_id=secrets.token_hex(16),
        created=now,
        renewed=now,
        expires=None,
        ticket=b"",
    )
    canary = replace(canary, ticket=seal(b"{}", bound_to=_bound(canary), purpose="ticket"))
    try:
        if found is None:
            store.create_user_session(canary)
        else:
            update = UserSessionUpdate.of(canary)
            store.update_user_session(key, update, if_version=found.version)
    except (SessionChanged, SessionExists, SessionMissing):
        return False
    return True


def _bound(canary: UserSession) -> tuple[str | int | None, ...]:
    return (canary.key, canary.partition, *canary.bound)
