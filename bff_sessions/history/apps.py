from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class HistoryConfig(AppConfig):
    """The app; it subscribes to starts and ends of sessions."""

    name = "bff_sessions.history"
    label = "bff_sessions_history"
    verbose_name = _("History of sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from bff_sessions.history import recording

        recording.connect()
