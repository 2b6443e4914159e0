"""Sign-ins, sign-outs and password hashes of ``django.contrib.auth``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from bff_sessions.contract import is_moment

# When the user of a session without a provider has signed in to it again.
_SIGNED_IN: Final = "_bff_signed_in"


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
    """Return the state of the hash in session data, and the present hash of the user."""
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


def signed_in_again(data: Mapping[str, Any]) -> float | None:
    """Return when the user has last signed in to a session that they had; None if never."""
    moment = data.get(_SIGNED_IN)
    return moment if is_moment(moment) else None


def connect() -> None:
    """Distinguish a user who signs out from a session whose user Django forgets.

    Also note a user who signs in again: `UserSession.created` stays, because the session goes on.
    """
    user_logged_in.connect(_sign_in, dispatch_uid="bff_sessions.engine.auth")
    user_logged_out.connect(_sign_out, dispatch_uid="bff_sessions.engine.auth")


def _sign_in(*, request: HttpRequest, **kwargs: Any) -> None:
    session: Any = getattr(request, "session", None)
    if not hasattr(session, "get_user_session"):
        return
    known = session.get_user_session()
    # The signal is sent before the session is saved, so `known` is what was there before.
    if known is not None and known.issuer is None and known.user_id == session.get(SESSION_KEY):
        session[_SIGNED_IN] = time.time()


def _sign_out(*, request: HttpRequest, **kwargs: Any) -> None:
    session: Any = getattr(request, "session", None)
    if hasattr(session, "signs_out"):
        session.signs_out = True
