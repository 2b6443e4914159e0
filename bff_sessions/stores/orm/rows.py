"""Conversion between sessions and rows, and the queries for lists."""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import Any, Final

from django.db.models import Q
from django.db.models.expressions import OrderBy
from django.db.models.functions import Greatest

from bff_sessions.contract import (
    ANY,
    DELETED,
    UPDATED,
    DeletedSession,
    Position,
    UserSession,
    UserSessionsFilter,
    UserSessionUpdate,
)
from bff_sessions.stores.orm.models import Session
from bff_sessions.stores.orm.statements import GET, SESSION

logger = logging.getLogger("django.security.SuspiciousSession")

LISTED: Final = tuple(name for name in SESSION if name != "ticket")
"""The columns of a session in a list."""

_values_of: Final = attrgetter(*SESSION)
_updated_values_of: Final = attrgetter(*UPDATED)


def matching(filter: UserSessionsFilter) -> Q:
    """Return the condition for rows that match `filter`."""
    wanted = Q()
    for name in ("subject_id", "session_id", "user_id"):
        if (value := getattr(filter, name)) is not None:
            wanted &= Q((name, value))
    if filter.issuer is not ANY:
        wanted &= Q(issuer=filter.issuer)
    if filter.partition is not ANY:
        wanted &= Q(partition=filter.partition)
    if filter.exclude_key is not None:
        wanted &= ~Q(key=filter.exclude_key)
    return wanted


def newest_first(filter: UserSessionsFilter) -> tuple[str | OrderBy, str]:
    """Return the order of sign-ins, newest first, as the best index for `filter` has it."""
    # The index bff_sessions_sign_ins has this order.
    if filter.subject_id is not None and filter.partition is not ANY:
        return "-created", "-id"
    # To order by a bare column, PostgreSQL and MariaDB scan the index of `created`, perhaps to its
    # end. No index has this expression, so they use the index of the user.
    return Greatest("created", "created").desc(), "-id"


def to_row(session: UserSession) -> dict[str, Any]:
    """Return all columns of `session` by name."""
    return dict(zip(SESSION, _values_of(session), strict=True))


def to_update(session: UserSession | UserSessionUpdate) -> dict[str, Any]:
    """Return the columns that a save of `session` writes."""
    return dict(zip(UPDATED, _updated_values_of(session), strict=True))


def to_session(row: dict[str, Any]) -> UserSession | None:
    """Return the session of a row. Log and return None if the row's values are not valid."""
    row["ticket"] = bytes(row.get("ticket", b""))  # Some drivers return a memoryview.
    try:
        return UserSession(**row)
    except (TypeError, ValueError):
        # Without the error's text, which may quote the row.
        logger.warning("A row of the table of sessions was altered and is ignored.")
        return None


def fetch(using: str, key: str) -> UserSession | None:
    """Return the session under `key`, expired or not."""
    row = GET.fetch(using, key=key)
    return None if row is None else to_session(row)


def to_listed(row: dict[str, Any]) -> UserSession | None:
    """Return the session of a row that may have more columns, see to_session()."""
    return to_session({name: row[name] for name in LISTED})


def position_of(row: dict[str, Any]) -> Position:
    """Return the place of a row in the order of sign-ins."""
    return Position(row["created"], row["id"].to_bytes(8))


def to_deleted(row: Session | dict[str, Any]) -> DeletedSession:
    """Return the deleted session of a row; its ticket is empty if it was not read."""
    if isinstance(row, Session):
        row = {name: getattr(row, name) for name in DELETED}
    values = {name: row[name] for name in DELETED if name in row}
    # Some drivers return a memoryview.
    return DeletedSession(**values | {"ticket": bytes(row.get("ticket", b""))})
