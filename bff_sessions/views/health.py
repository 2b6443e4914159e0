"""``GET health``: whether this process can serve sessions, for load balancers and monitors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse

from bff_sessions._compat.django_log import log_as_info
from bff_sessions.findings import Verdict
from bff_sessions.health import ESSENTIAL, examine
from bff_sessions.repeats import error_level
from bff_sessions.stores import get_store
from bff_sessions.views.endpoint import endpoint

logger = logging.getLogger("bff_sessions.store")

# Seconds for which a process repeats its answer: anybody may ask, as often as they like.
_REPEATED_FOR: Final = 5.0
# Seconds that an examination may take. Then no other request waits for it, or a server that does
# not answer would soon hold all threads.
_PATIENCE: Final = 5.0


class _Examination:
    """The last result in this process; one thread at a time makes a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._ended = float("-inf")
        self._verdicts: Mapping[str, Verdict] = {}

    def verdicts(self) -> Mapping[str, Verdict] | None:
        """Return the worst verdict of each subject, at most `_REPEATED_FOR` seconds old.

        Return None if another thread has been examining for too long.
        """
        if not self._lock.acquire(blocking=False):
            rest = self._begun + _PATIENCE - time.monotonic()
            if not self._lock.acquire(timeout=max(rest, 0.0)):
                return None
        try:
            if time.monotonic() - self._ended >= _REPEATED_FOR:
                self._begun = time.monotonic()
                self._verdicts = _examine()
                self._ended = time.monotonic()
            return self._verdicts
        finally:
            self._lock.release()


# By scope: a tenant may have a database of its own.
_examinations: Final[dict[str, _Examination]] = {}


@endpoint("health", "GET", "HEAD", needs_header=False, uses_csrf=False)
def health(request: HttpRequest) -> HttpResponse:
    """Return the verdict of each check; 503 if this process can serve no session.

    The answer has verdicts only. ``manage.py sessions doctor`` shows the reasons.
    """
    verdicts = _examinations.setdefault(get_store().scope, _Examination()).verdicts()
    serves = verdicts is not None and not any(
        verdicts.get(name) is Verdict.FAULT for name in ESSENTIAL
    )
    response = JsonResponse(
        {
            "status": "ok" if serves else "fault",
            "checks": {subject: verdict.value for subject, verdict in (verdicts or {}).items()},
        },
        status=200 if serves else 503,
    )
    if not serves:
        # Our own line is enough.
        log_as_info(request, response)
    return response


def _examine() -> dict[str, Verdict]:
    order = list(Verdict)
    worst: dict[str, Verdict] = {}
    for finding in examine(ask_providers=False):
        known = worst.get(finding.subject, Verdict.OK)
        worst[finding.subject] = max(known, finding.verdict, key=order.index)
        if finding.verdict is Verdict.FAULT and finding.subject in ESSENTIAL:
            logger.log(
                error_level(logger, finding.text),
                "This process can serve no session. %s",
                finding.text,
            )
    return worst
