"""The keys of session data that hold what a sign-in has written, and the claims in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bff_sessions import conf
from bff_sessions.identity.id_tokens import ID_TOKEN, MOZILLA_TOKENS

# bind_identity() writes this key and resolve_identity() reads it.
BINDING = "_bff_identity"
_SOURCES = frozenset({BINDING, *MOZILLA_TOKENS})
# django.contrib.auth.SESSION_KEY. An import of that package would load models too early.
AUTH_USER_ID = "_auth_user_id"
# The prefix of all keys that django.contrib.auth.login() writes. They are one value.
_AUTH_USER = "_auth_user_"


def is_claims_key(key: object) -> bool:
    """Return whether `key` is valid for BFF_SESSIONS["CLAIMS_KEY"]: text, and not in use."""
    taken = (BINDING, ID_TOKEN, AUTH_USER_ID)
    return isinstance(key, str) and bool(key.strip()) and key not in taken


def has_several_sources(data: Mapping[str, Any]) -> bool:
    """Return whether more than one key of `data` can identify a person at a provider."""
    return (BINDING in data) + (conf.CLAIMS_KEY in data) + (ID_TOKEN in data) > 1


def sign_in_part(key: object) -> str | None:
    """Return the part of a sign-in that session data holds under `key`; None for other keys.

    Keys with the same part are one value: a request that writes one of them means all of them.
    """
    if key in (BINDING, conf.CLAIMS_KEY):
        return str(key)
    if key in MOZILLA_TOKENS:
        return ID_TOKEN
    return _AUTH_USER if isinstance(key, str) and key.startswith(_AUTH_USER) else None


def is_claims_source(key: object) -> bool:
    """Return whether session data holds claims or tokens of a sign-in under `key`."""
    return key in _SOURCES or key == conf.CLAIMS_KEY


def begins_sign_in(key: str) -> bool:
    """Return whether a value under `key` can say that another person signs in."""
    return key == AUTH_USER_ID or is_claims_source(key)


def claim(claims: Mapping[Any, Any], name: str) -> str | None:
    """Return the claim `name` if it is text that is not blank."""
    value = claims.get(name)
    return value if isinstance(value, str) and value.strip() else None


def audience_of(claims: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the client IDs in `claims`: ``azp`` first, and then those of ``aud``.

    OpenID Connect Core 1.0, 2: ``azp`` is "the party to which the ID Token was issued".
    """
    audience = claims.get("aud")
    names = [claims.get("azp"), *(audience if isinstance(audience, list) else [audience])]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def person_of(claims: object) -> tuple[str, str] | None:
    """Return issuer and subject; None if `claims` do not have both."""
    if not isinstance(claims, Mapping):
        return None
    issuer, subject_id = claim(claims, "iss"), claim(claims, "sub")
    # OpenID Connect Core 1.0, 2: iss and sub are REQUIRED, and identify a person only together.
    return None if issuer is None or subject_id is None else (issuer, subject_id)
