"""What a request does whose session another request has moved to a new key meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.signals import user_logged_out
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

__all__ = [
    "PAUSE",
    "HashState",
    "acheck_hash",
    "can_follow",
    "check_hash",
    "connect",
    "has_hash",
    "has_same_hash",
]

PAUSE: Final = 0.1
"""Seconds from a new password in the database to the move of the session that has changed it."""


@cache
def can_follow() -> bool:
    """Return whether a request may go on with a session that moved to a key it does not know.

    Django's session middleware would send the browser the key of before, which is dead, and so
    sign it out. A middleware that does not has the attribute ``keeps_cookie_of_others``.
    """
    return any(map(_keeps_cookie, settings.MIDDLEWARE))


def _keeps_cookie(path: str) -> bool:
    try:
        return bool(getattr(import_string(path), "keeps_cookie_of_others", False))
    except ImportError:
        return False  # Django reports it when the server starts.


def has_hash(data: Mapping[str, Any]) -> bool:
    """Return whether `data` holds a hash by which Django tells an old password from a new one."""
    return bool(data.get(HASH_SESSION_KEY)) and SESSION_KEY in data


def has_same_hash(data: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether the same password made the hashes in session data."""
    return constant_time_compare(data.get(HASH_SESSION_KEY, ""), other.get(HASH_SESSION_KEY, ""))


class HashState(Enum):
    """How the hash of the user's password in session data relates to the user."""

    CURRENT = "current"
    FALLBACK = "made with a key of SECRET_KEY_FALLBACKS"
    OLD = "of another password"
    UNKNOWN = "of nobody"


def check_hash(data: Mapping[str, Any]) -> tuple[HashState, str]:
    """Return the state of the hash in session data, and the hash that is right now."""
    path = str(data.get(BACKEND_SESSION_KEY))
    if path not in settings.AUTHENTICATION_BACKENDS:
        return HashState.UNKNOWN, ""
    # As Django's get_user(): backends expect a key of the type that the model has.
    user_id = get_user_model()._meta.pk.to_python(data[SESSION_KEY])
    user: Any = load_backend(path).get_user(user_id)
    if not hasattr(user, "get_session_auth_hash"):
        return HashState.UNKNOWN, ""
    known, current = data[HASH_SESSION_KEY], user.get_session_auth_hash()
    if constant_time_compare(known, current):
        return HashState.CURRENT, current
    hashes = user.get_session_auth_fallback_hash()
    is_fallback = any(constant_time_compare(known, each) for each in hashes)
    return HashState.FALLBACK if is_fallback else HashState.OLD, current


async def acheck_hash(data: Mapping[str, Any]) -> tuple[HashState, str]:
    """See check_hash()."""
    return await sync_to_async(check_hash)(data)


def connect() -> None:
    """Tell sessions that a user signs out from sessions of which Django forgets the user."""
    user_logged_out.connect(_sign_out, dispatch_uid="bff_sessions.engine.moves")


def _sign_out(*, request: HttpRequest, **kwargs: Any) -> None:
    session: Any = getattr(request, "session", None)
    if hasattr(session, "signs_out"):
        session.signs_out = True


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "MIDDLEWARE":
        can_follow.cache_clear()


setting_changed.connect(_forget, dispatch_uid="bff_sessions.engine.moves")
