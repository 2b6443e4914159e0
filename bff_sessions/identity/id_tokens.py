"""Read the claims of an ID token that a login library verified and put into the session."""

from __future__ import annotations

from typing import Any, Final

from bff_sessions.identity.jws import read_jws

# The key under which mozilla-django-oidc keeps the raw ID token, if OIDC_STORE_ID_TOKEN is on.
ID_TOKEN: Final = "oidc_id_token"  # noqa: S105
# The keys of one sign-in that mozilla-django-oidc, its backend or our view sets.
MOZILLA_TOKENS: Final = (
    ID_TOKEN,
    "oidc_access_token",
    "oidc_refresh_token",
    "oidc_token_expiration",
    "oidc_token_lifetime",
    "oidc_token_scope",
)


def read_claims(token: object) -> dict[str, Any]:
    """Return the claims of a signed ID token, without verifying it again.

    The token may have expired since the user signed in, or the provider may have rotated its keys.
    An encrypted token cannot be read.

    Raises:
        ValueError: as read_jws().
    """
    _, claims = read_jws(token)
    return claims
