"""System checks: a project with a provider whose login library does not say whose session it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Warning

from bff_sessions import conf

__all__ = ["check_adapters"]

STEP = "bff_sessions.adapters.social_auth.copy_claims"


def check_adapters() -> Iterable[CheckMessage]:
    is_default = conf.IDENTITY_RESOLVER == conf.DEFAULTS["IDENTITY_RESOLVER"]  # noqa: SIM300
    if not (conf.PROVIDERS and is_default):
        return
    if apps.is_installed("mozilla_django_oidc") and not _setting("OIDC_STORE_ID_TOKEN"):
        yield Warning(
            "mozilla-django-oidc does not keep the id token: no provider can end its sessions.",
            hint="Set OIDC_STORE_ID_TOKEN = True.",
            id="bff_sessions.W030",
        )
    openid_connect = "allauth.socialaccount.providers.openid_connect"
    if apps.is_installed(openid_connect) and not apps.is_installed("bff_sessions.adapters.allauth"):
        yield Warning(
            "django-allauth does not keep the id token: no provider can end its sessions.",
            hint="Add 'bff_sessions.adapters.allauth.AllauthAdapter' to INSTALLED_APPS.",
            id="bff_sessions.W031",
        )
    if apps.is_installed("social_django") and not any(map(_has_step, dir(settings))):
        yield Warning(
            "social-auth-app-django does not keep the id token: no provider can end its sessions.",
            hint="End SOCIAL_AUTH_PIPELINE with 'bff_sessions.adapters.social_auth.copy_claims'.",
            id="bff_sessions.W032",
        )


def _setting(name: str) -> Any:
    return getattr(settings, name, None)


def _has_step(name: str) -> bool:
    # A backend may have a pipeline of its own, SOCIAL_AUTH_OIDC_PIPELINE for example.
    if not (name.startswith("SOCIAL_AUTH_") and name.endswith("_PIPELINE")):
        return False
    return STEP in (_setting(name) or ())
