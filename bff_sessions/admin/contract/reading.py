"""Read sessions through the contract, as instances of `Session`.

Their ``pk`` is a reference: the public ID, and one value by which the store finds the session.
For example ``0123456789abcdef0123456789abcdef.sid.08a5019c``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bff_sessions.admin.faults import store_errors
from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    iterate_user_sessions,
)
from bff_sessions.stores import get_store
from bff_sessions.stores.orm.models import Session
from bff_sessions.stores.orm.rows import to_row

# The value that fewest sessions share is first.
_CRITERIA: Final = {"sid": "session_id", "subject": "subject_id", "user": "user_id"}


def read_page(
    filter: UserSessionsFilter, cursor: str | None, limit: int
) -> UserSessionsPage | None:
    """Return a page of the sessions that match; None if `cursor` is not valid.

    Raises:
        StoreFailed: if the store fails.
    """
    with store_errors():
        try:
            return get_store().query_user_sessions(filter, cursor=cursor, limit=min(limit, 1000))
        except ValueError:
            if cursor is None:
                raise
            return None


def read_all(filter: UserSessionsFilter) -> Iterator[Session]:
    """Yield all sessions that match, newest sign-in first.

    Raises:
        StoreFailed: if the store fails.
    """
    with store_errors():
        for session in iterate_user_sessions(get_store(), filter):
            yield to_model(session)


def find_session(reference: str) -> Session | None:
    """Return the session that `reference` names; None if there is none.

    Raises:
        StoreFailed: if the store fails.
    """
    filter = filter_of(reference)
    if filter is None:
        return None
    found = read_all(filter)
    return next((session for session in found if str(session.pk) == reference), None)


def filter_of(reference: str) -> UserSessionsFilter | None:
    """Return the filter that finds the session of `reference`; None if that is not a reference."""
    _public_id, _, criterion = reference.partition(".")
    word, _, value = criterion.partition(".")
    try:
        return UserSessionsFilter(**{_CRITERIA[word]: value})
    except (KeyError, ValueError):
        return None


def to_model(session: UserSession) -> Session:
    """Return `session` as an instance of the model."""
    values = ((word, getattr(session, name)) for word, name in _CRITERIA.items())
    word, value = next(each for each in values if each[1] and not each[1].isspace())
    return Session(**to_row(session), pk=f"{session.public_id}.{word}.{value}")
