"""Lifetimes of sessions: rounding, the absolute lifetime, and when a renewal is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from django.utils import timezone

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.identity import Identity

_GRANULE = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def round_up(expires: datetime, now: datetime) -> datetime:
    """Return `expires` at a whole granule, so that most saves leave the indexed column as it is."""
    return expires + (_EPOCH - expires) % _granule(expires - now)


def expiry_of(
    expiry: object, get_age: Callable[[], int], now: datetime, limit: datetime | None
) -> datetime:
    """Return when a session that is saved now expires, as SessionBase.get_expiry_date() does.

    Args:
        expiry: what set_expiry() has kept: seconds, a moment, perhaps as text, or nothing.
        get_age: returns the seconds that a session lives if `expiry` is nothing.
        limit: see limit_of().
    """
    if isinstance(expiry, str):
        expiry = datetime.fromisoformat(expiry)
    if isinstance(expiry, datetime):
        expires = to_utc(expiry)
    else:
        seconds: Any = expiry or get_age()
        expires = now + timedelta(seconds=seconds)
        if expires > now:
            expires = round_up(expires, now)
    return expires if limit is None else min(expires, limit)


def goes_on(old: UserSession | None, identity: Identity) -> TypeGuard[UserSession]:
    """Return whether `identity` is the user of `old`, without a new sign-in since.

    A login library may save the claims of a sign-in before Django's user.
    """
    if old is None or (old.issuer, old.subject_id) != (identity.issuer, identity.subject_id):
        return False
    return old.user_id in (None, identity.user_id) and identity.session_id in (None, old.session_id)


def limit_of(identity: Identity, old: UserSession | None, now: datetime) -> datetime | None:
    """Return the latest moment at which a session that is saved now may end; None if unlimited."""
    if conf.ABSOLUTE_LIFETIME is None or identity.subject_id is None:
        return None
    return (old.created if goes_on(old, identity) else now) + conf.ABSOLUTE_LIFETIME


def is_due(session: UserSession, now: datetime) -> bool:
    """Return whether enough of the lifetime has passed that a request that only reads renews it."""
    if conf.RENEW_AFTER is None or session.expires is None:
        return False
    return now - session.renewed >= conf.RENEW_AFTER * (session.expires - session.renewed)


def is_worth_renewing(session: UserSession, expires: datetime, now: datetime) -> bool:
    """Return whether `session` would live longer by a granule, and its expiry is not fixed."""
    return session.expires is not None and expires - session.expires >= _granule(expires - now)


def to_utc(moment: datetime) -> datetime:
    """Return `moment`, which Django takes for local time if it is naive."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.astimezone(UTC)


def _granule(age: timedelta) -> timedelta:
    """Return the granule to which the expiry of sessions with this lifetime is rounded."""
    return max(min(_GRANULE, age / 100), timedelta.resolution)
