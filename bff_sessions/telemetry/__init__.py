"""Metrics and traces with OpenTelemetry: add ``"bff_sessions.telemetry"`` to INSTALLED_APPS.

- `listener`: counters and spans for the notices of `bff_sessions.measuring`
- `gauges`: figures that are read from the database when an exporter asks

No label holds a subject, a user or a key. Labels are the partition, the reason of an end, and the
result of a work.
"""
