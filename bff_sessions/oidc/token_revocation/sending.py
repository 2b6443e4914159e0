"""Send refresh tokens to their providers, to be revoked: RFC 7009. Needs the extra oidc."""

from __future__ import annotations

import enum
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.models import TokenRevocation, TokenRevocationQuerySet
from bff_sessions.oidc.options.token_revocation import RevocationOptions, get_revocation_options
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.token_revocation.sealing import open_token
from bff_sessions.oidc.transport.refusals import Meaning, Refusal

logger = logging.getLogger("bff_sessions.oidc")

# Longer than a provider may take to answer. If a process dies, others may send its tokens after it.
_LEASE: Final = timedelta(seconds=60)
# Seconds to wait after the first failure. Each further failure doubles them, up to the last pause.
_FIRST_PAUSE: Final = 60
_LAST_PAUSE: Final = 60 * 60
# The most seconds that a provider may ask for with Retry-After.
_LONGEST_PAUSE: Final = 24 * 60 * 60
_BATCH: Final = 100
_ENDPOINT: Final = "revocation_endpoint"
# RFC 7009, 2.2.1: the provider does not revoke tokens of this type, now or later.
_UNSUPPORTED: Final = "unsupported_token_type"


class Outcome(enum.Enum):
    """The outcome of sending one token, as `revoke_tokens` shows it."""

    REVOKED = "revoked"
    PUT_OFF = "put off"
    GIVEN_UP = "given up"
    IRREVOCABLE = "without a revocation endpoint"
    UNSUPPORTED = "of a type that the provider does not revoke"
    TAKEN = "sent by another process"


def send(
    rows: TokenRevocationQuerySet,
    *,
    max_seconds: float | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Counter[Outcome]:
    """Send each of `rows` that is due once, and count the outcomes.

    Args:
        max_seconds: do not begin with a token later than this many seconds after the start.
        should_stop: called before each token; True ends the work.
    """
    started, outcomes = time.monotonic(), Counter[Outcome]()
    # due() fixes the time, so this leaves out tokens that become due later.
    due = rows.due().order_by("due")
    sender = _Sender(TokenRevocation.objects.using(rows.db))
    while batch := list(due[:_BATCH]):
        for row in batch:
            if should_stop():
                return outcomes
            if max_seconds is not None and time.monotonic() - started >= max_seconds:
                return outcomes
            outcomes[sender.send(row)] += 1
    return outcomes


class _Sender:
    def __init__(self, rows: TokenRevocationQuerySet) -> None:
        self._rows = rows
        self._options = get_revocation_options() or RevocationOptions()
        # Issuers and client IDs that failed, which get no further requests in this run.
        self._down: dict[tuple[str, str], ProviderUnavailable] = {}

    def send(self, row: TokenRevocation) -> Outcome:
        if not self._rows.claim(row, _LEASE):
            return Outcome.TAKEN
        try:
            outcome = self._revoke(row)
        except (BffSessionsError, ImproperlyConfigured) as error:
            return self._put_off(row, str(error), getattr(error, "retry_after", None))
        except Exception as error:
            return self._put_off(row, f"{type(error).__name__}.", None)
        self._rows.remove(row)
        return outcome

    def _revoke(self, row: TokenRevocation) -> Outcome:
        client = row.issuer, row.client_id
        if client in self._down:
            raise self._down[client]
        try:
            provider = get_provider(row.issuer, row.audience)
            if provider is None:
                raise ImproperlyConfigured("The provider is no longer configured.")
            data = {"token": open_token(row), "token_type_hint": "refresh_token"}
            if provider.find_endpoint(_ENDPOINT) is None:
                return Outcome.IRREVOCABLE
            response = provider.post(_ENDPOINT, data)
        except ProviderUnavailable as error:
            self._down[client] = error
            raise
        # 2.2: the provider also answers 200 for an invalid token. No other status means success.
        if response.status_code == 200:
            return Outcome.REVOKED
        refusal = Refusal.of(response)
        if refusal.meaning is Meaning.REFUSED and refusal.code == _UNSUPPORTED:
            log_once(
                logger, logging.WARNING, _UNSUPPORTED, row.issuer, "%s revokes no refresh tokens."
            )
            return Outcome.UNSUPPORTED
        unavailable = refusal.to_error(row.issuer, _ENDPOINT)
        # Other tokens would fail alike, and a provider may lock out a client that fails too often.
        if refusal.meaning in (Meaning.WAIT, Meaning.CLIENT):
            self._down[client] = unavailable
        raise unavailable

    def _put_off(self, row: TokenRevocation, reason: str, retry_after: float | None) -> Outcome:
        now = datetime.now(UTC)
        if now - row.created >= self._options.give_up_after:
            self._rows.remove(row)
            logger.error(
                "%s did not revoke a refresh token in %s attempts, so it is given up. %s",
                row.issuer,
                row.attempts,
                reason,
            )
            return Outcome.GIVEN_UP
        pause = min(_FIRST_PAUSE * 2 ** min(row.attempts - 1, 20), _LAST_PAUSE)
        # Random, so that not all tokens are sent at once when the provider is back.
        pause = max(random.uniform(pause / 2, pause), min(retry_after or 0, _LONGEST_PAUSE))
        if not self._rows.put_off(row, now + timedelta(seconds=pause)):
            return Outcome.TAKEN
        logger.warning("%s has not revoked a refresh token yet. %s", row.issuer, reason)
        return Outcome.PUT_OFF
