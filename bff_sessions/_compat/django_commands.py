"""Private API of django.core.management. Read in Django 5.2, 6.0 and 6.1."""

from __future__ import annotations

from typing import Any

from django.core.management.base import OutputWrapper


def stream_of(output: OutputWrapper) -> Any:
    """Return the stream behind `output`, for a progress bar.

    `output` ends and colours each write as a message of its own.
    """
    return output._out
