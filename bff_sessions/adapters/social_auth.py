"""social-auth-app-django with a backend for OpenID Connect.

    SOCIAL_AUTH_PIPELINE = [*DEFAULT_AUTH_PIPELINE, "bff_sessions.adapters.social_auth.copy_claims"]

The backend is social_core's ``OpenIdConnectAuth`` or derived from it. Before social-auth-core 6 it
forgets the claims when the pipeline pauses to ask the user something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bff_sessions.adapters import keep_claims

__all__ = ["copy_claims"]


def copy_claims(
    backend: Any,
    strategy: Any,
    user: Any = None,
    *args: Any,
    new_association: bool = False,
    **kwargs: Any,
) -> None:
    """Last step of the pipeline. No signal will do: signing in again as the same user sends none.

    The session stays as it is when nobody signs in: when a signed-in user only connects an account,
    or one who is inactive is going to be refused.
    """
    # Of the token that the backend has validated.
    claims = getattr(backend, "id_token", None)
    if not isinstance(claims, Mapping) or user is None or not user.is_active:
        return
    if new_association and strategy.request.user.is_authenticated:
        return
    keep_claims(strategy.request.session, claims)
