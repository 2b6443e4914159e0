"""Adapter for django-allauth with its provider ``openid_connect``.

    INSTALLED_APPS += ["bff_sessions.adapters.allauth.AllauthAdapter"]

Versions before 65.11 do not store the claims of the ID token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allauth.account.signals import user_logged_in
from django.apps import AppConfig
from django.http import HttpRequest

from bff_sessions.adapters import keep_claims


class AllauthAdapter(AppConfig):
    """Connects copy_claims() to the sign-ins of django-allauth."""

    name = "bff_sessions.adapters.allauth"
    # The default, the last part of the name, is the label of allauth itself.
    label = "bff_sessions_allauth"

    def ready(self) -> None:
        user_logged_in.connect(copy_claims, dispatch_uid=self.name)


def copy_claims(
    *, request: HttpRequest, sociallogin: Any = None, signal: Any = None, **kwargs: Any
) -> None:
    """Store the claims of a sign-in: the receiver of allauth's own `user_logged_in`.

    allauth sends it after the session has its new key and after steps in between, such as a second
    factor. It does not send it when a user only connects an account.
    """
    # Imported late, because models of django-allauth must not load while apps are populated.
    from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider

    if sociallogin is None or not isinstance(sociallogin.provider, OpenIDConnectProvider):
        return
    data = sociallogin.account.extra_data
    # A sign-in with a token that a client sent to the headless API has its claims at the top.
    claims = data if "iss" in data else data.get("id_token")
    if isinstance(claims, Mapping):
        keep_claims(request.session, claims)
