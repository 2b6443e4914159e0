"""Send refresh tokens to their providers, to be revoked: RFC 7009. Needs the extra oidc."""

from __future__ import annotations

import enum
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
# A token that is first sent late, because no command ran, is sent as often before it is given up:
# for two to four hours.
_FEWEST_ATTEMPTS: Final = 10
_BATCH: Final = 100
_ENDPOINT: Final = "revocation_endpoint"
# RFC 7009, 2.2.1: the provider does not revoke tokens of this type, now or later.
_UNSUPPORTED: Final = "unsupported_token_type"
_INVALID: Final = "invalid_token"


class Outcome(enum.Enum):
    """The outcome of sending one token, as `revoke_tokens` shows it."""

    REVOKED = "revoked"
    PUT_OFF = "put off"
    GIVEN_UP = "given up"
    INVALID = "no longer valid"
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
    sender = _Sender(TokenRevocation.objects.using(rows.db))
    try:
        return _send(rows, sender, max_seconds, should_stop)
    finally:
        sender.report()


def _send(
    rows: TokenRevocationQuerySet,
    sender: _Sender,
    max_seconds: float | None,
    should_stop: Callable[[], bool],
) -> Counter[Outcome]:
    started, outcomes = time.monotonic(), Counter[Outcome]()
    # due() fixes the time, so this leaves out tokens that become due later.
    due = rows.due().order_by("due")
    while batch := list(due[:_BATCH]):
        for row in batch:
            if should_stop():
                return outcomes
            if max_seconds is not None and time.monotonic() - started >= max_seconds:
                return outcomes
            outcomes[sender.send(row)] += 1
    return outcomes


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a token was not revoked.

    An error would gain entries of its traceback with each token for which it is raised again.
    """

    reason: str
    retry_after: float | None = None


@dataclass(slots=True)
class _Tally:
    """Tokens of one provider with one outcome."""

    reason: str
    """Why the first of them was not revoked."""
    count: int = 0


class _Sender:
    """Sends the tokens of one run."""

    def __init__(self, rows: TokenRevocationQuerySet) -> None:
        self._rows = rows
        self._options = get_revocation_options() or RevocationOptions()
        self._fewest_attempts = _fewest_attempts(self._options.give_up_after)
        # Issuers and client IDs that failed, which get no further requests in this run.
        self._down: dict[tuple[str, str], _Failure] = {}
        self._tallies: dict[tuple[str, Outcome], _Tally] = {}

    def send(self, row: TokenRevocation) -> Outcome:
        if not self._rows.claim(row, _LEASE):
            return Outcome.TAKEN
        failure = self._down.get((row.issuer, row.client_id))
        if failure is None:
            try:
                outcome = self._revoke(row)
            except (BffSessionsError, ImproperlyConfigured) as error:
                failure = _Failure(str(error), getattr(error, "retry_after", None))
            except Exception as error:
                failure = _Failure(f"{type(error).__name__}.")
        if failure is not None:
            return self._fail(row, failure)
        self._rows.remove(row)
        return outcome

    def report(self) -> None:
        """Log the tokens that were not revoked: a line for each provider, however many they are."""
        for (issuer, outcome), tally in self._tallies.items():
            if outcome is Outcome.GIVEN_UP:
                logger.error(
                    "Refresh tokens that %s did not revoke are given up (%d). %s",
                    issuer,
                    tally.count,
                    tally.reason,
                )
            else:
                logger.warning(
                    "Refresh tokens that %s has not revoked yet: %d. %s",
                    issuer,
                    tally.count,
                    tally.reason,
                )

    def _revoke(self, row: TokenRevocation) -> Outcome:
        try:
            provider = get_provider(row.issuer, row.audience)
            if provider is None:
                raise ImproperlyConfigured("The provider is no longer configured.")
            data = {"token": open_token(row), "token_type_hint": "refresh_token"}
            if provider.find_endpoint(_ENDPOINT) is None:
                return Outcome.IRREVOCABLE
            response = provider.post(_ENDPOINT, data)
        except ProviderUnavailable as error:
            self._give_a_rest(row, error)
            raise
        # 2.2: the provider also answers 200 for an invalid token. No other status means success.
        if response.status_code == 200:
            return Outcome.REVOKED
        refusal = Refusal.of(response)
        # 2.2: "the purpose of the revocation request, invalidating the particular token, is already
        # achieved". With 401, invalid_token would mean what authenticates this site: RFC 6750, 3.1.
        if refusal.meaning is Meaning.ENDED or (
            refusal.code == _INVALID and response.status_code == 400
        ):
            return Outcome.INVALID
        if refusal.meaning is Meaning.REFUSED and refusal.code == _UNSUPPORTED:
            log_once(
                logger, logging.WARNING, _UNSUPPORTED, row.issuer, "%s revokes no refresh tokens."
            )
            return Outcome.UNSUPPORTED
        unavailable = refusal.to_error(row.issuer, _ENDPOINT)
        # Other tokens would fail alike, and a provider may lock out a client that fails too often.
        if refusal.meaning in (Meaning.WAIT, Meaning.CLIENT):
            self._give_a_rest(row, unavailable)
        raise unavailable

    def _give_a_rest(self, row: TokenRevocation, error: ProviderUnavailable) -> None:
        self._down[row.issuer, row.client_id] = _Failure(str(error), error.retry_after)

    def _fail(self, row: TokenRevocation, failure: _Failure) -> Outcome:
        now = datetime.now(UTC)
        is_old = now - row.created >= self._options.give_up_after
        if is_old and row.attempts >= self._fewest_attempts:
            self._rows.remove(row)
            return self._count(row, Outcome.GIVEN_UP, failure)
        pause = _pause_after(row.attempts)
        # Random, so that not all tokens are sent at once when the provider is back.
        pause = max(random.uniform(pause / 2, pause), min(failure.retry_after or 0, _LONGEST_PAUSE))
        if not self._rows.put_off(row, now + timedelta(seconds=pause)):
            return Outcome.TAKEN
        return self._count(row, Outcome.PUT_OFF, failure)

    def _count(self, row: TokenRevocation, outcome: Outcome, failure: _Failure) -> Outcome:
        tally = self._tallies.setdefault((row.issuer, outcome), _Tally(failure.reason))
        tally.count += 1
        return outcome


def _pause_after(attempts: int) -> float:
    """Return the longest pause, in seconds, after so many attempts."""
    return min(_FIRST_PAUSE * 2.0 ** min(attempts - 1, 20), _LAST_PAUSE)


def _fewest_attempts(age: timedelta) -> int:
    """Return how often a token is sent before it is given up, even if it is older than `age`.

    These are the attempts of a token that is sent in time, up to `_FEWEST_ATTEMPTS`.
    """
    attempts, passed = 1, _pause_after(1)
    while attempts < _FEWEST_ATTEMPTS and passed <= age.total_seconds():
        attempts += 1
        passed += _pause_after(attempts)
    return attempts
