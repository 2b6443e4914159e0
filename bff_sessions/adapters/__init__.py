"""Adapters for login libraries, which store the claims that identify the person of a session.

Each module imports its library. Only settings that name a module import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bff_sessions import conf

__all__ = ["keep_claims"]

_STORED = ("iss", "sub", "sid", "auth_time", "iat")


def keep_claims(session: Any, claims: Mapping[str, Any]) -> None:
    """Copy the identity and the time of the sign-in from `claims` of a verified ID token.

    They are stored in the session, because libraries overwrite what they store for an account when
    the same user signs in with another browser.
    """
    session[conf.CLAIMS_KEY] = {name: claims[name] for name in _STORED if name in claims}
