"""Interpret a provider's error responses: RFC 6749, 5.2, and RFC 7009, 2.2.1."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bff_sessions.exceptions import ClientMisconfigured, ProviderUnavailable
from bff_sessions.oidc.transport.http import Response, asks_to_wait

logger = logging.getLogger("bff_sessions.oidc")


class Meaning(Enum):
    """The meaning of an error response for a client."""

    WAIT = "The provider cannot answer now."
    CLIENT = "The provider does not accept this site as its client is configured."
    ENDED = "The token is no longer valid."
    REFUSED = "The provider refuses this request, for a reason of its own."
    UNCLEAR = "The answer is not an OAuth error. It may come from a proxy."


# Any other code means REFUSED, because providers and extensions define codes of their own.
_MEANINGS: Final = {
    "temporarily_unavailable": Meaning.WAIT,
    "slow_down": Meaning.WAIT,  # RFC 8628, 3.5
    "server_error": Meaning.WAIT,
    "invalid_client": Meaning.CLIENT,
    "unauthorized_client": Meaning.CLIENT,
    "unsupported_grant_type": Meaning.CLIENT,
    "invalid_scope": Meaning.CLIENT,
    "invalid_grant": Meaning.ENDED,
    "token_inactive": Meaning.ENDED,  # Ory Hydra 1
}
# A provider may put a secret into its answer, so a log shows only known codes.
_KNOWN: Final = frozenset(
    {
        *_MEANINGS,
        "invalid_request",
        "invalid_token",
        "access_denied",
        "expired_token",
        "unsupported_token_type",  # RFC 7009, 2.2.1
        # OpenID Connect Core 1.0, 3.1.2.6
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "mfa_required",  # Auth0
        "insufficient_user_authentication",  # RFC 9470, 3
        "unmet_authentication_requirements",
        "invalid_target",  # RFC 8707, 2
        "invalid_dpop_proof",  # RFC 9449, 5
        "use_dpop_nonce",
    }
)


def meaning_of(status: int, code: str | None) -> Meaning:
    """Return the meaning of a status together with an OAuth error code.

    Args:
        status: the status of an answer that is not a success.
        code: the member ``error`` of the answer; None if it is missing or not a text.
    """
    if asks_to_wait(status):
        return Meaning.WAIT
    if code is None:
        return Meaning.UNCLEAR
    return _MEANINGS.get(code, Meaning.REFUSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An answer that is not a success."""

    meaning: Meaning
    code: str | None
    """The OAuth error code, if it is known."""
    status: int
    retry_after: float | None

    @classmethod
    def of(cls, answer: Response) -> Refusal:
        code = _read_code(answer)
        return cls(
            meaning=meaning_of(answer.status_code, code),
            code=code if code in _KNOWN else None,
            status=answer.status_code,
            retry_after=answer.retry_after,
        )

    def __str__(self) -> str:
        return self.code or f"status {self.status}"

    def to_error(self, issuer: str, endpoint: str) -> ProviderUnavailable:
        """Return an error for callers that try again later. Log it if an operator must act.

        Args:
            endpoint: the endpoint that answered, for the text of the error.
        """
        if self.meaning is not Meaning.CLIENT:
            return ProviderUnavailable(
                f"The {endpoint} of {issuer} cannot be used. The provider answered with {self}.",
                retry_after=self.retry_after,
            )
        logger.error(
            "%s does not accept this site as a client: %s. Compare its registration there with "
            "BFF_SESSIONS['PROVIDERS'].",
            issuer,
            self,
        )
        return ClientMisconfigured(
            f"The provider does not accept this site as a client: {self}.",
            retry_after=self.retry_after,
        )


def _read_code(answer: Response) -> str | None:
    try:
        code = answer.json().get("error")
    except ProviderUnavailable:
        return None
    return code if isinstance(code, str) and code.strip() else None
