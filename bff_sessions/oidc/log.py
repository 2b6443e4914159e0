"""Log a fault once that every request would otherwise log again."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from django.core.signals import setting_changed

# A process meets few faults. The bound is for issuers that are never the same.
_MAX: Final = 1000
_reported: dict[tuple[str, str | None], None] = {}
_lock = threading.Lock()


def log_once(
    logger: logging.Logger,
    level: int,
    fault: str,
    issuer: str | None,
    message: str,
    *values: object,
) -> None:
    """Log `message`, unless this process has logged this fault of this issuer.

    Args:
        fault: the name of the fault.
        issuer: the provider; None if it is unknown.
        message: the text, with one ``%s`` for the issuer, and one for each of `values`.
    """
    with _lock:
        if (fault, issuer) in _reported:
            return
        if len(_reported) >= _MAX:
            del _reported[next(iter(_reported))]
        _reported[fault, issuer] = None
    logger.log(level, message, issuer or "an unknown provider", *values)


def _forget(**kwargs: Any) -> None:
    with _lock:
        _reported.clear()


# A changed setting may fix a fault or cause it again.
setting_changed.connect(_forget, dispatch_uid="bff_sessions.oidc.log")
