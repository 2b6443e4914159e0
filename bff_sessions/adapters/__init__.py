"""What login libraries need so that their sessions say whose they are at the provider.

Each module imports its library and is imported by nobody but the settings that name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bff_sessions import conf

__all__ = ["keep_claims"]

_KEPT = ("iss", "sub", "sid", "auth_time", "iat")


def keep_claims(session: Any, claims: Mapping[str, Any]) -> None:
    """Copy whose session it is, and since when, from the `claims` of a verified id token.

    In the session and nowhere else: what libraries keep for each account is overwritten when the
    same user signs in with another browser.
    """
    session[conf.CLAIMS_KEY] = {name: claims[name] for name in _KEPT if name in claims}
