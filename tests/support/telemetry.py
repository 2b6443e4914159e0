"""What an exporter would get from OpenTelemetry."""

from unittest import mock

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bff_sessions import measuring
from bff_sessions.signals import session_started, sessions_ended
from bff_sessions.telemetry import gauges, listener


class Exported:
    """The app `bff_sessions.telemetry` with an exporter in memory, while in a ``with`` block."""

    def __init__(self, monkeypatch):
        self._reader, self._spans = InMemoryMetricReader(), InMemorySpanExporter()
        self._meters = MeterProvider([self._reader])
        self._tracers = TracerProvider()
        self._tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        monkeypatch.setattr(listener.metrics, "get_meter", self._meters.get_meter)
        monkeypatch.setattr(listener.trace, "get_tracer", self._tracers.get_tracer)

    def __enter__(self):
        listener.connect()
        gauges.connect()
        return self

    def __exit__(self, *exc_info):
        measuring.listen(None)
        for signal in (session_started, sessions_ended):
            signal.disconnect(dispatch_uid="bff_sessions.telemetry")
        self._meters.shutdown()

    def figures(self):
        """Return the values by name and labels, such as ("saves", "saved")."""
        data = self._reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    name = metric.name.removeprefix("bff_sessions.")
                    for point in metric.data.data_points:
                        labels = tuple(value for _, value in sorted(point.attributes.items()))
                        found[name, *labels] = point.value
        return found

    def spans(self):
        """Return the finished spans."""
        return self._spans.get_finished_spans()

    def text(self):
        """Return everything that is exported."""
        data = self._reader.get_metrics_data()
        return "".join([data.to_json() if data else "", *(span.to_json() for span in self.spans())])


def instrument_names():
    """Return the names of all metrics."""
    meter = mock.Mock()
    with (
        mock.patch.object(listener.metrics, "get_meter", return_value=meter),
        mock.patch.object(measuring, "listen"),
        mock.patch.object(session_started, "connect"),
        mock.patch.object(sessions_ended, "connect"),
    ):
        listener.connect()
        gauges.connect()
    return {call.args[0] for call in meter.mock_calls}
