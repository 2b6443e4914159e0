"""Adapter for django-allauth with its provider ``openid_connect``.

    INSTALLED_APPS += ["bff_sessions.adapters.allauth.AllauthAdapter"]

Versions before 65.11 do not store the claims of the ID token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from allauth.account.signals import user_logged_in
from django.apps import AppConfig
from django.http import HttpRequest
from django.utils import timezone

from bff_sessions.oidc.sign_in.step_up import sign_in_parameters
from bff_sessions.oidc.sign_in.token_responses import keep_sign_in, try_response
from bff_sessions.oidc.tokens import Tokens


class AllauthAdapter(AppConfig):
    """Connects copy_claims() to the sign-ins, and recent_sign_in() to their beginning."""

    name = "bff_sessions.adapters.allauth"
    # The default, the last part of the name, is the label of allauth itself.
    label = "bff_sessions_allauth"

    def ready(self) -> None:
        # Imported late, because models of django-allauth must not load while apps are populated.
        from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider

        user_logged_in.connect(copy_claims, dispatch_uid=self.name)
        name = "get_auth_params_from_request"
        setattr(OpenIDConnectProvider, name, _pass_on(getattr(OpenIDConnectProvider, name)))


def _pass_on(get_auth_params: Callable[..., Any]) -> Callable[..., Any]:
    """Let the provider of django-allauth pass on what recent_sign_in() demands."""

    @wraps(get_auth_params)
    def wrapper(self: Any, request: HttpRequest, action: Any) -> Any:
        return {**get_auth_params(self, request, action), **sign_in_parameters(request)}

    return wrapper


def copy_claims(
    *, request: HttpRequest, sociallogin: Any = None, signal: Any = None, **kwargs: Any
) -> None:
    """Store the claims and tokens of a sign-in: the receiver of allauth's own `user_logged_in`.

    allauth sends it after the session has its new key and after steps in between, such as a second
    factor. It does not send it when a user only connects an account.
    """
    from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider

    if sociallogin is None or not isinstance(sociallogin.provider, OpenIDConnectProvider):
        return
    data = sociallogin.account.extra_data
    # A sign-in with a token that a client sent to the headless API has its claims at the top.
    claims = data if "iss" in data else data.get("id_token")
    if not isinstance(claims, Mapping):
        return
    userinfo = data.get("userinfo")
    if isinstance(userinfo, Mapping) and userinfo.get("sub") == claims.get("sub"):
        claims = {**userinfo, **claims}
    # Not read from the account later: libraries overwrite it when the same user signs in with
    # another browser.
    keep_sign_in(request.session, claims, _tokens_of(sociallogin, claims))


def _tokens_of(sociallogin: Any, claims: Mapping[str, Any]) -> Tokens | None:
    token = sociallogin.token
    if token is None:
        return None
    expires_at = token.expires_at
    if expires_at is not None and timezone.is_naive(expires_at):
        # USE_TZ is False. timezone.now() has then returned the time of the process.
        expires_at = expires_at.astimezone()
    response = {
        "access_token": token.token,
        "refresh_token": token.token_secret,
        "expires_at": expires_at,
        # allauth drops the scope of the response, which is mostly that of the request.
        "scope": sociallogin.provider.get_scope(),
    }
    return try_response(response, claims.get("iss"))
