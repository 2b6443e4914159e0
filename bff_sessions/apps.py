from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BffSessionsConfig(AppConfig):
    """The app; it connects the receivers of signals."""

    name = "bff_sessions"
    label = "bff_sessions"
    verbose_name = _("Server-side sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # They register themselves.
        from bff_sessions import checks as checks
        from bff_sessions import users
        from bff_sessions.engine import auth
        from bff_sessions.oidc.sign_in import early_logouts
        from bff_sessions.oidc.token_revocation import outbox
        from bff_sessions.watching import watcher

        auth.connect()
        outbox.connect()
        early_logouts.connect()
        watcher.connect()
        users.connect()
