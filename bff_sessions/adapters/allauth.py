"""django-allauth with its provider ``openid_connect``.

    INSTALLED_APPS += ["bff_sessions.adapters.allauth.AllauthAdapter"]

Versions before 65.11 keep no claims of the id token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allauth.account.signals import user_logged_in
from django.apps import AppConfig
from django.http import HttpRequest

from bff_sessions.adapters import keep_claims

__all__ = ["AllauthAdapter", "copy_claims"]


class AllauthAdapter(AppConfig):
    name = "bff_sessions.adapters.allauth"
    # The last part of the name is allauth's own label.
    label = "bff_sessions_allauth"

    def ready(self) -> None:
        user_logged_in.connect(copy_claims, dispatch_uid=self.name)


def copy_claims(
    *, request: HttpRequest, sociallogin: Any = None, signal: Any = None, **kwargs: Any
) -> None:
    """Receiver of allauth's own `user_logged_in`, which knows how the user signed in.

    It is sent when the session has its new key, and when what comes between, such as a second
    factor, is done; and not when a user only connects an account.
    """
    from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider

    if sociallogin is None or not isinstance(sociallogin.provider, OpenIDConnectProvider):
        return
    data = sociallogin.account.extra_data
    # A token that a client sent to the headless API is all there is.
    claims = data if "iss" in data else data.get("id_token")
    if isinstance(claims, Mapping):
        keep_claims(request.session, claims)
