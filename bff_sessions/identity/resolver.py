"""Resolve the identity of a session from its data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.contract import is_moment
from bff_sessions.identity.claims import AUTH_USER_ID, BINDING, claim, person_of
from bff_sessions.identity.id_tokens import ID_TOKEN, read_claims
from bff_sessions.identity.person import Identity

logger = logging.getLogger("bff_sessions.identity")


def resolve_identity(data: Mapping[str, Any]) -> Identity:
    """Return the identity of the user who is signed in to a session with `data`.

    This is the default of BFF_SESSIONS["IDENTITY_RESOLVER"]. The first of these decides:

    1. the values that bind_identity() wrote;
    2. a mapping with ``iss``, ``sub`` and perhaps ``sid`` under BFF_SESSIONS["CLAIMS_KEY"];
    3. the ID token of mozilla-django-oidc;
    4. Django's signed-in user.

    Raises:
        ValueError: if a claim is too long for the store.
    """
    user_id = data.get(AUTH_USER_ID)
    user_id = None if user_id is None else str(user_id)
    if (binding := data.get(BINDING)) is not None:
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
    person = person_of(claims)
    if person is None or not isinstance(claims, Mapping):
        return None
    issuer, subject_id = person
    return Identity(
        issuer=issuer,
        subject_id=subject_id,
        session_id=claim(claims, "sid"),
        user_id=user_id,
        # OpenID Connect Core 1.0, 2: auth_time is OPTIONAL, iat is not.
        auth_time=_first_moment(claims, "auth_time", "iat"),
        issued_at=_first_moment(claims, "iat"),
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
        logger.warning("The ID token in a session does not identify a user: %s.", error)
        return None
    return identity


def _first_moment(claims: Mapping[Any, Any], *names: str) -> float | None:
    times = (claims.get(name) for name in names)
    return next((time for time in times if is_moment(time)), None)


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
