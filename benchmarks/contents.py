"""The contents of the sessions that are measured: the same for all engines."""

from __future__ import annotations

import random
import string
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.serializers import JSONSerializer

__all__ = ["BROWSER", "RANDOM", "DatedSession", "our_values", "text", "tokens", "user_data"]

BROWSER = {
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "ip": "127.0.0.1",
}
RANDOM = random.Random(1)  # The same for all engines.


class DatedSession(NamedTuple):
    """A session to add."""

    key: str
    data: dict[str, str]
    saved: datetime
    expires: datetime


def text(length: int, characters: str = VALID_KEY_CHARS) -> str:
    return "".join(RANDOM.choices(characters, k=length))


def tokens() -> dict[str, str]:
    """Return tokens of a provider in realistic lengths, and Django's CSRF token."""
    characters = string.ascii_letters + string.digits
    sizes = {"access_token": 1_120, "id_token": 1_000, "_csrftoken": 32}
    return {name: text(size, characters) for name, size in sizes.items()}


def user_data(user: User) -> dict[str, str]:
    return {
        "_auth_user_id": str(user.pk),
        "_auth_user_backend": settings.AUTHENTICATION_BACKENDS[0],
        "_auth_user_hash": user.get_session_auth_hash(),
    }


def our_values(
    key: str, data: dict[str, str], saved: datetime, expires: datetime
) -> dict[str, Any]:
    """Return the fields of our session."""
    from bff_sessions import conf
    from bff_sessions.protection import seal, store_key

    hashed, user_id, session_id, sign_in_id = (
        store_key(conf.PARTITION, key),
        data["_auth_user_id"],
        text(32),
        text(32),
    )
    bound = (None, user_id, session_id, user_id, sign_in_id, int(saved.timestamp()))
    bound_to = (hashed, conf.PARTITION, *bound)
    return {
        "key": hashed,
        "partition": conf.PARTITION,
        "issuer": None,
        "subject_id": user_id,
        "session_id": session_id,
        "user_id": user_id,
        "sign_in_id": sign_in_id,
        "created": saved,
        "renewed": saved,
        "expires": expires.replace(second=0, microsecond=0),
        "ticket": seal(JSONSerializer().dumps(data), bound_to=bound_to, purpose="ticket"),
    }
