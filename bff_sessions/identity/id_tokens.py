"""The claims of an id token that a login library has verified and put into the session."""

from __future__ import annotations

from typing import Any, Final

from bff_sessions.identity.jws import read_jws

__all__ = ["ID_TOKEN", "MOZILLA_TOKENS", "read_claims"]

# Where mozilla-django-oidc keeps the raw id token, if OIDC_STORE_ID_TOKEN is on.
ID_TOKEN: Final = "oidc_id_token"  # noqa: S105
# What it, or a backend derived from its own, keeps of one sign-in.
MOZILLA_TOKENS: Final = (
    ID_TOKEN,
    "oidc_access_token",
    "oidc_refresh_token",
    "oidc_token_expiration",
)


def read_claims(token: object) -> dict[str, Any]:
    """Return the payload of a signed id token, without verifying it again.

    It may have expired since the user signed in, and the keys may have been rotated. An encrypted
    one cannot be read.

    Raises:
        ValueError: as read_jws().
    """
    _, claims = read_jws(token)
    return claims
