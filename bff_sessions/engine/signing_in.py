"""What a sign-in does to other sessions, and what it announces and logs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.engine import verbs
from bff_sessions.engine.sansio import Steps
from bff_sessions.engine.tickets import is_other_subject
from bff_sessions.events import hook_for_sign_in
from bff_sessions.identity import Identity

__all__ = ["changes_hands", "finish", "is_other_user", "replace_others", "signs_in"]

logger = logging.getLogger("bff_sessions.identity")


def changes_hands(old: UserSession, new: Identity) -> bool:
    """Return whether a user signs in, so that the key of before must not go on.

    Another person may know that key.
    """
    if new.subject_id is None:
        return False
    return is_other_subject(old, new) or is_other_user(old, new)


def is_other_user(old: UserSession, new: Identity) -> bool:
    """Return whether a user of Django signs in who was not signed in to `old`."""
    return new.user_id is not None and new.user_id != old.user_id


def signs_in(row: UserSession, old: UserSession | None) -> bool:
    """Return whether saving `row` over `old` begins a session at the provider, or a local one."""
    return row.subject_id is not None and (old is None or _triple(old) != _triple(row))


def replace_others(
    row: UserSession, old: UserSession | None, open_ticket: Callable[[UserSession], object]
) -> Steps[None]:
    """End what the same session at the provider has elsewhere: signing in replaces."""
    others = UserSessionsFilter.of_session(row, exclude_key=None if old is None else old.key)
    if conf.TAKE_OVER is not None:
        # What it has in the old table does not come back either.
        yield from verbs.ban(others)
    for _, key in (yield from verbs.list_ages(others)):
        # Lists carry no tickets, and one ticket at a time is enough.
        other = yield from verbs.get_user_session(key)
        # Not what a host with the wrong encryption key cannot open.
        if other is not None and open_ticket(other) is not None:
            yield from verbs.replace_session(other)


def finish(row: UserSession, auth_time: float | None) -> Steps[None]:
    """Do what follows a sign-in that was saved as `row`.

    Args:
        auth_time: when the provider says that the user signed in, see `Identity`.
    """
    _warn_without_provider(row)
    yield from _end_oldest(row)
    hook = hook_for_sign_in(row, auth_time)
    if hook is not None:
        # Not before other requests see the session.
        yield from verbs.on_commit(hook)


def _end_oldest(row: UserSession) -> Steps[None]:
    """End the oldest sessions above BFF_SESSIONS["MAX_SESSIONS_PER_SUBJECT"]."""
    limit = conf.MAX_SESSIONS_PER_SUBJECT
    if limit is None:
        return
    others = yield from verbs.list_ages(UserSessionsFilter.of_subject(row, exclude_key=row.key))
    # Its own among them: of two sign-ins at the same moment, whichever finds the other, the later
    # one stays.
    ages = sorted([*others, (row.created, row.key)])
    for _, key in ages[: max(0, len(ages) - limit)]:
        yield from verbs.revoke_session(key)


def _warn_without_provider(row: UserSession) -> None:
    """Log a sign-in without a provider, if the project has one.

    No provider can end such a session. If a login library lost the id token, nothing else reports
    it.
    """
    if conf.PROVIDERS and row.user_id is not None and row.issuer is None:
        logger.warning(
            "User %s signed in without the identity of a provider, in session %s, so that no "
            "provider can end it. Unless the user is a local one, store iss, sub and sid under %r "
            "in the session, or call bind_identity().",
            row.user_id,
            row.public_id,
            conf.CLAIMS_KEY,
        )


def _triple(row: UserSession) -> tuple[str | None, str | None, str | None]:
    return row.issuer, row.subject_id, row.session_id
