"""The claims of an id token that a login library has verified and put into the session."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any, Final

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
    """The payload of a signed id token, without verifying it once more: RFC 7519, section 7.2.

    It may have expired since the user signed in, and the keys may have been rotated.

    Raises:
        ValueError: if `token` is anything else; the text tells nothing of what it holds.
    """
    try:
        if not isinstance(token, str):
            raise ValueError
        _, payload, _ = token.split(".")
        # RFC 7515, section 2: base64url without padding. RFC 7519, section 7.2: UTF-8.
        padded = payload + "=" * (-len(payload) % 4)
        claims = json.loads(b64decode(padded, b"-_", validate=True).decode())
        if not isinstance(claims, dict):
            raise ValueError
    except (ValueError, RecursionError):
        # Without their own texts, which quote the token.
        raise ValueError("it is no signed JSON Web Token") from None
    return claims
