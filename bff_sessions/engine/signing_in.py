"""What a sign-in does to other sessions, and what it announces and logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from bff_sessions import conf
from bff_sessions.contract import Actor, EndReason, UserSession, UserSessionsFilter
from bff_sessions.engine import verbs
from bff_sessions.engine.tickets import is_other_subject
from bff_sessions.events import Cause, hook_for_sign_in
from bff_sessions.identity import Identity
from bff_sessions.revocation import bans, endings
from bff_sessions.sansio import Steps, in_thread, run

logger = logging.getLogger("bff_sessions.identity")


def changes_hands(old: UserSession, new: Identity) -> bool:
    """Return whether a user signs in, so that the session needs a new key.

    Another person may know the old one.
    """
    if new.subject_id is None:
        return False
    return is_other_subject(old, new) or is_other_user(old, new)


def is_other_user(old: UserSession, new: Identity) -> bool:
    """Return whether a Django user signs in who was not signed in to `old`."""
    return new.user_id is not None and new.user_id != old.user_id


def signs_in(session: UserSession, old: UserSession | None) -> bool:
    """Return whether saving `session` over `old` is a sign-in, with or without a provider."""
    return session.subject_id is not None and (old is None or _triple(old) != _triple(session))


def replace_others(
    session: UserSession, old: UserSession | None, open_ticket: Callable[[UserSession], object]
) -> Steps[None]:
    """End the other sessions of the same session at the provider, which a sign-in replaces."""
    filter = UserSessionsFilter.of_session(session, exclude_key=None if old is None else old.key)
    if conf.TAKE_OVER is not None:
        # Sessions in the table of the previous engine must not return either.
        yield from in_thread(bans.ban, filter)
    cause = Cause(EndReason.REPLACED, Actor.of_session(session))
    seen: set[str] = set()
    told: set[str] = set()
    are_ended = False
    while not are_ended:
        # Unlike query_user_sessions(), this also finds a session that is just moving.
        found = yield from verbs.get_user_sessions(filter)
        others = [each for each in found if each.key not in seen]
        seen.update(each.key for each in others)
        are_ended = True
        for other in others:
            if open_ticket(other) is not None:  # Else a host with the right key can open it.
                # A session that moves is found under both keys, and is announced once.
                is_new = other.sign_in_id not in told
                is_ended = yield from endings.end_one(other.key, other, cause, announce=is_new)
                if is_ended:
                    told.add(other.sign_in_id)
                # If it was not deleted, another request may have moved it before.
                are_ended &= is_ended


def finish(session: UserSession, identity: Identity) -> Steps[None]:
    """Do what follows a sign-in of `identity` that was saved as `session`."""
    _warn_without_provider(session)
    limit = conf.MAX_SESSIONS_PER_SUBJECT
    if limit is not None:
        yield from _end_oldest(session, limit)
    hook = hook_for_sign_in(session, identity.auth_time, identity.issued_at)
    if hook is not None:
        # After the commit, when other requests see the session.
        yield from verbs.on_commit(hook)
    if limit is not None:
        yield from _end_oldest_later(session, limit)


def _end_oldest(session: UserSession, limit: int) -> Steps[None]:
    """End the oldest sessions above BFF_SESSIONS["MAX_SESSIONS_PER_SUBJECT"]."""
    others = yield from verbs.list_ages(
        UserSessionsFilter.of_subject(session, exclude_key=session.key)
    )
    # The session itself is in the list, so that of two simultaneous sign-ins the later one stays,
    # whichever of them finds the other.
    yield from _end_all_but(limit, [*others, (session.created, session.key)], session)


def _end_oldest_later(session: UserSession, limit: int) -> Steps[None]:
    """Do it again after the commit: two transactions do not see each other's sign-in before."""
    is_later = False

    def again() -> Steps[None]:
        # The session may have moved or ended since, so its own row decides.
        ages = yield from verbs.list_ages(UserSessionsFilter.of_subject(session))
        yield from _end_all_but(limit, ages, session)

    def end() -> None:
        if is_later:  # Otherwise there was no transaction.
            run(again())

    yield from verbs.on_commit(end)
    is_later = True


def _end_all_but(
    limit: int, ages: Iterable[tuple[datetime, str]], session: UserSession
) -> Steps[None]:
    """End all but the newest sign-ins in `ages`, for that of `session`."""
    cause = Cause(EndReason.TOO_MANY, Actor.of_session(session))
    oldest_first = sorted(ages)
    for _, key in oldest_first[: max(0, len(oldest_first) - limit)]:
        yield from endings.revoke_session(key, cause)


def _warn_without_provider(session: UserSession) -> None:
    """Log a sign-in without a provider, if the project has one.

    No provider can end such a session. If a login library lost the id token, nothing else reports
    it.
    """
    if conf.PROVIDERS and session.user_id is not None and session.issuer is None:
        logger.warning(
            "User %s signed in without the identity of a provider, in session %s. No provider can "
            "end it. Unless this is a local user, store iss, sub and sid under %r "
            "in the session, or call bind_identity().",
            session.user_id,
            session.public_id,
            conf.CLAIMS_KEY,
        )


def _triple(session: UserSession) -> tuple[str | None, str | None, str | None]:
    return session.issuer, session.subject_id, session.session_id
