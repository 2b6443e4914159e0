"""Commands that need an extra say so."""

from importlib.util import find_spec

from django.core.management.base import CommandError


def require_oidc() -> None:
    """Check that the extra ``oidc`` is installed.

    Raises:
        CommandError: with the line that installs it.
    """
    if not (find_spec("jwt") and find_spec("requests")):
        raise CommandError(
            "PyJWT and requests must be installed: pip install 'django-bff-sessions[oidc]'."
        )
