"""The claims of the signed-in user that the front end may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user
from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.identity import Identity, identify
from bff_sessions.identity.claim_names import STANDARD_CLAIMS as STANDARD_CLAIMS
from bff_sessions.identity.id_tokens import ID_TOKEN, read_claims
from bff_sessions.secret import hidden_frames


@hidden_frames()
def standard_claims(request: HttpRequest) -> dict[str, Any]:
    """Return the claims of the signed-in user that the front end may read.

    This is the default of BFF_SESSIONS["USER_CLAIMS"]. With a provider these are ``iss``, ``sub``
    and the standard claims that the session holds under BFF_SESSIONS["CLAIMS_KEY"] or in the ID
    token of mozilla-django-oidc. Without a provider they are ``sub`` and the names of Django's
    user.
    """
    data = dict(request.session.items())
    identity = identify(data)
    if identity.issuer is not None:
        ids = {"iss": identity.issuer, "sub": identity.subject_id}
        stored = stored_claims(data, identity)
        return ids | {name: stored[name] for name in STANDARD_CLAIMS if name in stored}
    claims: dict[str, Any] = {"sub": identity.subject_id}
    if (user := session_user(request)) is not None:
        claims["preferred_username"] = user.get_username()
        if name := getattr(user, "get_full_name", str)():
            claims["name"] = name
    return claims


def session_user(request: HttpRequest) -> Any:
    """Return the user who is signed in to the session; None for an anonymous session.

    Usually that is ``request.user``. A library that lets operators act as other users sets
    ``request.user`` to another user.
    """
    user = getattr(request, "user", None)
    # Reading the user may end the session, for example after a password change.
    user_id = None if user is None else str(user.pk)
    if user_id is None or SESSION_KEY not in request.session:
        return None
    if user_id != request.session[SESSION_KEY]:
        user = get_user(request)
    return user if user is not None and user.is_authenticated else None


def stored_claims(data: Mapping[str, Any], identity: Identity) -> Mapping[str, Any]:
    """Return the claims that a login library has stored of the person; {} if there are none."""
    ids = {"iss": identity.issuer, "sub": identity.subject_id}
    return next((claims for claims in _stored_claims(data) if ids.items() <= claims.items()), {})


def _stored_claims(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the claims that login libraries store; they may belong to another subject."""
    if isinstance(claims := data.get(conf.CLAIMS_KEY), Mapping):
        yield claims
    with suppress(ValueError):
        yield read_claims(data.get(ID_TOKEN))
