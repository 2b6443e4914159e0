from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TelemetryConfig(AppConfig):
    """The app; it makes the instruments."""

    name = "bff_sessions.telemetry"
    label = "bff_sessions_telemetry"
    verbose_name = _("Metrics of sessions")

    def ready(self) -> None:
        # They need the extra otel, and models.
        from bff_sessions.telemetry import gauges, listener

        listener.connect()
        gauges.connect()
