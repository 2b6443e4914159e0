"""Check that the app is installed: without it, Django can neither import models nor run checks."""

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured


def require_app() -> None:
    """Check that the app is installed, once Django has loaded all apps.

    Until then, models of the project may import what needs it.

    Raises:
        ImproperlyConfigured: with what to add.
    """
    if apps.apps_ready and not apps.is_installed("bff_sessions"):
        raise ImproperlyConfigured(
            "The session engine 'bff_sessions.engine' needs its app, which is not installed: "
            "add 'bff_sessions' to INSTALLED_APPS, and run 'manage.py migrate'."
        )
