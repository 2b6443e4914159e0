"""Adapter for social-auth-app-django with a backend for OpenID Connect.

    SOCIAL_AUTH_PIPELINE = [*DEFAULT_AUTH_PIPELINE, "bff_sessions.adapters.social_auth.copy_claims"]

The backend is social_core's ``OpenIdConnectAuth`` or a subclass. Before social-auth-core 6 it loses
the claims when the pipeline pauses to ask the user a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bff_sessions.adapters import keep_claims


def copy_claims(
    backend: Any,
    strategy: Any,
    user: Any = None,
    *args: Any,
    new_association: bool = False,
    **kwargs: Any,
) -> None:
    """Store the claims of a sign-in: the last step of the pipeline.

    A signal cannot replace this step, because none is sent when the same user signs in again. The
    session does not change if a signed-in user only connects an account, or if the user is inactive
    and the sign-in is going to be refused.
    """
    # The backend has validated this token.
    claims = getattr(backend, "id_token", None)
    if not isinstance(claims, Mapping) or user is None or not user.is_active:
        return
    if new_association and strategy.request.user.is_authenticated:
        return
    keep_claims(strategy.request.session, claims)
