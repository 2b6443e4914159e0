"""What happens to other sessions, and what the log says, when somebody signs in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter, UserSessionsPage
from bff_sessions.engine.rows import is_other_subject
from bff_sessions.engine.steps import Steps, ban, call, end, revoke
from bff_sessions.identity import Identity
from bff_sessions.live import is_live

__all__ = [
    "changes_hands",
    "end_oldest",
    "is_other_user",
    "replace_others",
    "signs_in",
    "warn_without_provider",
]

logger = logging.getLogger("bff_sessions.identity")


def changes_hands(old: UserSession, new: Identity) -> bool:
    """Whether somebody signs in, so that who knew the key before must not know it any more."""
    if new.subject_id is None:
        return False
    return is_other_subject(old, new) or is_other_user(old, new)


def is_other_user(old: UserSession, new: Identity) -> bool:
    """Return whether a user of Django signs in who was not signed in to `old`."""
    return new.user_id is not None and new.user_id != old.user_id


def signs_in(row: UserSession, old: UserSession | None) -> bool:
    """Whether saving `row` over `old` begins a session at the provider, or a local one."""
    return row.subject_id is not None and (old is None or _triple(old) != _triple(row))


def replace_others(
    row: UserSession, old: UserSession | None, can_open: Callable[[UserSession], bool]
) -> Steps[None]:
    """End what the same session at the provider has elsewhere: signing in replaces."""
    others = UserSessionsFilter.of_session(row, exclude_key=None if old is None else old.key)
    if conf.TAKE_OVER is not None:
        # What it has in the old table does not come back either.
        yield ban(others)
    for _, key in (yield from _ages(others)):
        # Lists carry no tickets, and one ticket at a time is enough.
        other: UserSession | None = yield call("get_user_session", key)
        # Not what a host with the wrong key cannot open.
        if other is not None and can_open(other):
            yield end(key, other)


def end_oldest(row: UserSession) -> Steps[None]:
    """End what is too much for BFF_SESSIONS["MAX_SESSIONS_PER_SUBJECT"]: who signed in first."""
    limit = conf.MAX_SESSIONS_PER_SUBJECT
    if limit is None:
        return
    others = yield from _ages(UserSessionsFilter.of_subject(row, exclude_key=row.key))
    # Its own among them: of two that sign in at the same moment, whoever finds the other, the later
    # one stays.
    ages = sorted([*others, (row.created, row.key)])
    for _, key in ages[: max(0, len(ages) - limit)]:
        yield revoke(key)


def warn_without_provider(row: UserSession) -> None:
    """Log that who signed in to `row` did not do so at a provider, if the project has one.

    No provider can end such a session. Where a login library lost the id token, nothing else would
    tell.
    """
    if conf.PROVIDERS and row.user_id is not None and row.issuer is None:
        logger.warning(
            "User %s signed in without the identity of a provider, in session %s.",
            row.user_id,
            row.public_id,
        )


def _ages(filter: UserSessionsFilter) -> Steps[list[tuple[datetime, str]]]:
    """Return `created` and store key of all live sessions that match; nothing else is kept."""
    ages: list[tuple[datetime, str]] = []
    cursor = None
    while True:
        page: UserSessionsPage = yield call("query_user_sessions", filter, cursor=cursor, limit=500)
        ages += [(one.created, one.key) for one in page.sessions if is_live(one)]
        cursor = page.next_cursor
        if cursor is None:
            return ages


def _triple(row: UserSession) -> tuple[str | None, str | None, str | None]:
    return row.issuer, row.subject_id, row.session_id
