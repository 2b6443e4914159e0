"""The identity of a session: issuer, subject, session ID and user, resolved from its data."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.contract import check_text, is_moment
from bff_sessions.identity.id_tokens import ID_TOKEN, MOZILLA_TOKENS, read_claims

__all__ = [
    "ANONYMOUS",
    "AUTH_USER_ID",
    "Identity",
    "abind_identity",
    "bind_identity",
    "has_several_sources",
    "identify",
    "is_claims_key",
    "is_claims_source",
    "older_claims",
    "resolve_identity",
    "sign_in_part",
]

logger = logging.getLogger(__name__)

# bind_identity() writes this key and resolve_identity() reads it.
_BINDING = "_bff_identity"
_SOURCES = frozenset({_BINDING, *MOZILLA_TOKENS})
# A mapping with one of these keys holds claims or tokens.
_OF_SIGN_IN = frozenset({"iss", "sub", "access_token", "refresh_token", "id_token"})
# django.contrib.auth.SESSION_KEY. An import of that package would load models too early.
AUTH_USER_ID = "_auth_user_id"
# The prefix of all keys that django.contrib.auth.login() writes. They are one value.
_AUTH_USER = "_auth_user_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The signed-in person; every field is None for an anonymous session."""

    issuer: str | None = None
    """The ``iss`` claim; None without a provider."""
    subject_id: str | None = None
    """The ``sub`` claim; without a provider the primary key of Django's user."""
    session_id: str | None = None
    """The ``sid`` claim; None if the provider sends none."""
    user_id: str | None = None
    """The primary key of Django's user, as text."""
    auth_time: float | None = field(default=None, compare=False)
    """The time of the sign-in at the provider, in seconds since 1970; None if it is unknown.

    This is the ``auth_time`` claim, or else the ``iat`` claim of the ID token.
    """

    def __post_init__(self) -> None:
        for name in ("issuer", "subject_id", "session_id", "user_id"):
            check_text(name, getattr(self, name))
        if self.subject_id is None and (self.issuer, self.session_id, self.user_id) != (None,) * 3:
            raise ValueError(
                "subject_id must be set if issuer, session_id or user_id is; it is None."
            )


ANONYMOUS = Identity()


def bind_identity(
    request: HttpRequest,
    *,
    subject_id: str,
    session_id: str | None = None,
    issuer: str | None = None,
    auth_time: float | None = None,
) -> None:
    """Bind the session of `request` to a person, from its next save on. Call this at sign-in.

    Args:
        subject_id: the ``sub`` claim.
        session_id: the ``sid`` claim, if the provider sends one.
        issuer: the ``iss`` claim; None without a provider.
        auth_time: the ``auth_time`` claim, or else the ``iat`` claim of the ID token. It decides
            whether a logout that arrives during the sign-in ends this session.

    Raises:
        TypeError: if a text is not a string.
        ValueError: if a text is blank or longer than 255 characters, or if `auth_time` is not a
            number of seconds since 1970.
    """
    request.session[_BINDING] = _to_binding(subject_id, session_id, issuer, auth_time)


async def abind_identity(
    request: HttpRequest,
    *,
    subject_id: str,
    session_id: str | None = None,
    issuer: str | None = None,
    auth_time: float | None = None,
) -> None:
    """See bind_identity()."""
    await request.session.aset(_BINDING, _to_binding(subject_id, session_id, issuer, auth_time))


def _to_binding(
    subject_id: str, session_id: str | None, issuer: str | None, auth_time: float | None
) -> dict[str, str | float | None]:
    if subject_id is None:
        raise TypeError("subject_id must be a string.")
    if auth_time is not None and not is_moment(auth_time):
        raise ValueError("auth_time must be a number of seconds since 1970, or None.")
    Identity(issuer=issuer, subject_id=subject_id, session_id=session_id)
    return {"iss": issuer, "sub": subject_id, "sid": session_id, "auth_time": auth_time}


def resolve_identity(data: Mapping[str, Any]) -> Identity:
    """Return the identity in `data`: the default of BFF_SESSIONS["IDENTITY_RESOLVER"].

    The first of these decides:

    1. the values that bind_identity() wrote;
    2. a mapping with ``iss``, ``sub`` and perhaps ``sid`` under BFF_SESSIONS["CLAIMS_KEY"];
    3. the ID token of mozilla-django-oidc;
    4. Django's signed-in user.

    Raises:
        ValueError: if a claim is too long for the store.
    """
    user_id = data.get(AUTH_USER_ID)
    user_id = None if user_id is None else str(user_id)
    if (binding := data.get(_BINDING)) is not None:
        return Identity(
            issuer=binding["iss"],
            subject_id=binding["sub"],
            session_id=binding["sid"],
            user_id=user_id,
            auth_time=binding.get("auth_time"),
        )
    return (
        _from_claims(data.get(conf.CLAIMS_KEY), user_id)
        or _from_id_token(data.get(ID_TOKEN), user_id)
        or Identity(subject_id=user_id, user_id=user_id)
    )


def _from_claims(claims: object, user_id: str | None) -> Identity | None:
    person = _person(claims)
    if person is None or not isinstance(claims, Mapping):
        return None
    issuer, subject_id = person
    return Identity(
        issuer=issuer,
        subject_id=subject_id,
        session_id=_claim(claims, "sid"),
        user_id=user_id,
        auth_time=_auth_time(claims),
    )


def _from_id_token(token: object, user_id: str | None) -> Identity | None:
    if token is None:
        return None
    try:
        identity = _from_claims(read_claims(token), user_id)
        if identity is None:
            raise ValueError("it has no iss or no sub claim")
    except ValueError as error:
        # Not raised: the library stored the token, and the code that saves cannot change that.
        logger.warning("The ID token in a session does not identify a person: %s.", error)
        return None
    return identity


def _claim(claims: Mapping[Any, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _auth_time(claims: Mapping[Any, Any]) -> float | None:
    # OpenID Connect Core 1.0, 2: auth_time is OPTIONAL, iat is not.
    times = (claims.get(name) for name in ("auth_time", "iat"))
    return next((time for time in times if is_moment(time)), None)


def is_claims_key(key: object) -> bool:
    """Return whether `key` is valid for BFF_SESSIONS["CLAIMS_KEY"]: text, and not in use."""
    taken = (_BINDING, ID_TOKEN, AUTH_USER_ID)
    return isinstance(key, str) and bool(key.strip()) and key not in taken


def has_several_sources(data: Mapping[str, Any]) -> bool:
    """Return whether more than one key of `data` can identify a person at a provider."""
    return (_BINDING in data) + (conf.CLAIMS_KEY in data) + (ID_TOKEN in data) > 1


def sign_in_part(key: object) -> str | None:
    """Return the part of a sign-in that session data holds under `key`; None for other keys.

    Keys with the same part are one value: a request that writes one of them means all of them.
    """
    if key in (_BINDING, conf.CLAIMS_KEY):
        return str(key)
    if key in MOZILLA_TOKENS:
        return ID_TOKEN
    return _AUTH_USER if isinstance(key, str) and key.startswith(_AUTH_USER) else None


def is_claims_source(key: object) -> bool:
    """Return whether session data holds claims or tokens of a sign-in under `key`."""
    return key in _SOURCES or key == conf.CLAIMS_KEY


def older_claims(
    data: Mapping[str, Any], before: Mapping[str, Any], written: Collection[str]
) -> list[str]:
    """Return the keys of `data` that hold claims of a person who was signed in before.

    A session belongs to one person. Claims are older if the user has changed and this request has
    not written them. They are also older if other claims have changed to another person since.

    Args:
        data: session data as it is going to be saved.
        before: session data as it was read. The serializer has read both.
        written: keys that this request has written for a sign-in.
    """
    user_id = data.get(AUTH_USER_ID)
    is_other_user = user_id is not None and user_id != before.get(AUTH_USER_ID)
    was, now = _sources(before), _sources(data)
    changed = {key for key in now if key not in was or was[key] != now[key]}
    fresh = changed.union(key for key in now if key in written)
    people = {now[key] for key in (fresh if is_other_user else changed)} - {None}
    if not (is_other_user or people):
        return []
    older = [key for key in now if key not in fresh and now[key] not in people]
    # The other tokens of mozilla-django-oidc belong to the ID token that was stored with them.
    has_other_token = ID_TOKEN in changed or ID_TOKEN in older
    if has_other_token or (is_other_user and ID_TOKEN not in now):
        others = [key for key in MOZILLA_TOKENS if key != ID_TOKEN and key in data]
        older += [key for key in others if key not in written]
    return older


def _sources(data: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None] | None]:
    """Return the keys that hold claims, each with its issuer and subject."""
    sources: dict[str, tuple[str | None, str | None] | None] = {}
    if (binding := data.get(_BINDING)) is not None:
        sources[_BINDING] = binding["iss"], binding["sub"]
    claims = data.get(conf.CLAIMS_KEY)
    # A project may store another mapping there.
    if isinstance(claims, Mapping) and not _OF_SIGN_IN.isdisjoint(claims):
        sources[conf.CLAIMS_KEY] = _person(claims)
    if (token := data.get(ID_TOKEN)) is not None:
        try:
            sources[ID_TOKEN] = _person(read_claims(token))
        except ValueError:
            sources[ID_TOKEN] = None
    return sources


def _person(claims: object) -> tuple[str, str] | None:
    if not isinstance(claims, Mapping):
        return None
    issuer, subject_id = _claim(claims, "iss"), _claim(claims, "sub")
    # OpenID Connect Core 1.0, 2: iss and sub are REQUIRED, and identify a person only together.
    return None if issuer is None or subject_id is None else (issuer, subject_id)


def identify(data: Mapping[str, Any]) -> Identity:
    """Return the identity that the configured resolver finds in `data`.

    Raises:
        ImproperlyConfigured: if the resolver cannot be imported or does not return an `Identity`.
    """
    identity = conf.load_callable("IDENTITY_RESOLVER")(data)
    if not isinstance(identity, Identity):
        raise ImproperlyConfigured(
            "BFF_SESSIONS['IDENTITY_RESOLVER'] must return an Identity, "
            f"not {type(identity).__name__}."
        )
    return identity
