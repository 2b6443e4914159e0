"""System checks of login libraries: with providers, they must store claims and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.conf.faults import Fault

_STEP: Final = "bff_sessions.adapters.social_auth.copy_claims"
_OPENID_CONNECT: Final = "allauth.socialaccount.providers.openid_connect"

_MOZILLA = Fault(
    "W030",
    "mozilla-django-oidc does not store the ID token, so providers cannot end its sessions.",
    "Set OIDC_STORE_ID_TOKEN = True.",
)
_ALLAUTH = Fault(
    "W031",
    "django-allauth does not store the ID token, so providers cannot end its sessions.",
    "Add 'bff_sessions.adapters.allauth.AllauthAdapter' to INSTALLED_APPS.",
)
_SOCIAL_AUTH = Fault(
    "W032",
    "social-auth-app-django does not store the ID token, so providers cannot end its sessions.",
    f"End SOCIAL_AUTH_PIPELINE with {_STEP!r}.",
)
_MOZILLA_EXPIRY = Fault(
    "W033",
    "mozilla-django-oidc stores the access token, but not when it expires: get_access_token() "
    "cannot return it.",
    "Set OIDC_CALLBACK_CLASS to 'bff_sessions.adapters.mozilla.CallbackView' or a subclass.",
)


def check_adapters() -> Iterator[CheckMessage]:
    default = conf.SETTINGS["IDENTITY_RESOLVER"].default
    if not conf.PROVIDERS or default != conf.IDENTITY_RESOLVER:
        return
    if apps.is_installed("mozilla_django_oidc"):
        if not _setting("OIDC_STORE_ID_TOKEN"):
            yield _MOZILLA()
        is_own = conf.SETTINGS["TOKENS"].default != conf.TOKENS
        if _setting("OIDC_STORE_ACCESS_TOKEN") and not (is_own or _keeps_tokens()):
            yield _MOZILLA_EXPIRY()
    if apps.is_installed(_OPENID_CONNECT) and not apps.is_installed(
        "bff_sessions.adapters.allauth"
    ):
        yield _ALLAUTH()
    if apps.is_installed("social_django") and not any(map(_has_step, dir(settings))):
        yield _SOCIAL_AUTH()


def _setting(name: str) -> Any:
    return getattr(settings, name, None)


def _keeps_tokens() -> bool:
    path = _setting("OIDC_CALLBACK_CLASS")
    try:
        return bool(path) and getattr(import_string(path), "keeps_tokens", False)
    except ImportError:
        return True  # The URLs of the library cannot be imported either, which Django reports.


def _has_step(name: str) -> bool:
    # A backend may have a pipeline of its own, SOCIAL_AUTH_OIDC_PIPELINE for example.
    if not (name.startswith("SOCIAL_AUTH_") and name.endswith("_PIPELINE")):
        return False
    return _STEP in (_setting(name) or ())
