"""What the front end may know of the signed-in user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from bff_sessions.identity import identify

__all__ = ["STANDARD_CLAIMS", "load_claims", "standard_claims"]

# OpenID Connect Core 1.0, 5.1. A list of what is shown, not of what is hidden, so that tokens
# and whatever else is kept beside the claims stay on the server.
STANDARD_CLAIMS: Final = (
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
)


@sensitive_variables()
def standard_claims(request: HttpRequest) -> dict[str, Any]:
    """The default of BFF_SESSIONS["USER_CLAIMS"].

    ``iss``, ``sub`` and the standard claims that the session holds under "oidc"; without a
    provider, ``sub`` and what Django's user is called.
    """
    data = dict(request.session.items())
    identity = identify(data)
    ids = {"iss": identity.issuer, "sub": identity.subject_id}
    given = data.get("oidc")
    if isinstance(given, Mapping) and all(given.get(name) == ids[name] for name in ids):
        return ids | {name: given[name] for name in STANDARD_CLAIMS if name in given}
    if identity.issuer is not None:
        return dict(ids)
    user = getattr(request, "user", None)
    claims: dict[str, Any] = {"sub": identity.subject_id}
    if identity.user_id is not None and user is not None:
        claims["preferred_username"] = user.get_username()
        if name := getattr(user, "get_full_name", str)():
            claims["name"] = name
    return claims


def load_claims(path: str) -> Callable[[HttpRequest], Any]:
    """The callable at the dotted `path`.

    Raises:
        ImproperlyConfigured: if it cannot be imported or called.
    """
    try:
        claims = import_string(path)
    except Exception as error:
        raise ImproperlyConfigured(
            f"BFF_SESSIONS['USER_CLAIMS'] cannot be imported: {path!r} ({error})."
        ) from error
    if not callable(claims):
        raise ImproperlyConfigured(f"BFF_SESSIONS['USER_CLAIMS'] is not callable: {path!r}.")
    function: Callable[[HttpRequest], Any] = claims
    return function
