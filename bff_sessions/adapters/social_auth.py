"""Adapter for social-auth-app-django with a backend for OpenID Connect.

    SOCIAL_AUTH_PIPELINE = [*DEFAULT_AUTH_PIPELINE, "bff_sessions.adapters.social_auth.copy_claims"]

The backend is social_core's ``OpenIdConnectAuth`` or a subclass. Before social-auth-core 6 it loses
the claims when the pipeline pauses to ask the user a question.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bff_sessions.claims import STANDARD_CLAIMS
from bff_sessions.oidc.sign_in.step_up import sign_in_parameters
from bff_sessions.oidc.sign_in.token_responses import keep_sign_in, try_response


def copy_claims(
    backend: Any,
    strategy: Any,
    user: Any = None,
    response: Any = None,
    *args: Any,
    new_association: bool = False,
    **kwargs: Any,
) -> None:
    """Store the claims and tokens of a sign-in: the last step of the pipeline.

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
    # The token response, with the claims of the UserInfo endpoint. The backend has compared `sub`.
    response = response or {}
    userinfo = {name: response[name] for name in STANDARD_CLAIMS if name in response}
    response = {"scope": backend.get_scope(), **response}
    # The pipeline may have paused since.
    since = min(claims["iat"], time.time())
    tokens = try_response(response, claims.get("iss"), since=since)
    keep_sign_in(strategy.request.session, {**userinfo, **claims}, tokens)


class RecentSignIn:
    """Passes on what recent_sign_in() demands: the first base class of a backend."""

    strategy: Any

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        """Return the parameters of the authentication request."""
        params: dict[str, Any] = super().auth_params(state)  # type: ignore[misc]
        return {**params, **sign_in_parameters(self.strategy.request)}
