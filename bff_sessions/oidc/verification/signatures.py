"""Verify the signature of a provider's JSON Web Token: RFC 7515, 5.2."""

from __future__ import annotations

from enum import Enum
from typing import Any

from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.extras import extra
from bff_sessions.identity.jws import read_jws
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.providers.keys import KeySetMissing
from bff_sessions.oidc.providers.sources import TooEarly
from bff_sessions.oidc.transport import http
from bff_sessions.oidc.transport.deadlines import time_limit

with extra("oidc"):
    import jwt


class SignatureFault(Enum):
    """Why a signature is refused."""

    ALGORITHM = "signed with an algorithm that is not allowed"
    NO_KEYS = "the provider has no jwks_uri"
    KEY = "signed with a key that the provider does not have"
    SIGNATURE = "the signature is wrong"


class SignatureInvalid(BffSessionsError):
    """The signature of a token is refused."""

    def __init__(self, fault: SignatureFault, detail: str = "") -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.detail = detail
        """Details for the operator's log: single values, shortened and ASCII."""


class SignatureUndecided(ProviderUnavailable):
    """The signature may be that of a key that the provider publishes soon.

    It has a ``retry_after``.
    """

    def __init__(self, text: str, fault: SignatureFault, *, retry_after: float | None) -> None:
        super().__init__(text, retry_after=retry_after)
        self.fault = fault
        """Why the signature is refused if there is no such key."""


def read_token(token: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of `token`, without verifying it.

    Raises:
        ValueError: if it is not a signed JSON Web Token, or has headers that PyJWT does not know.
    """
    # First, because PyJWT also accepts padding, a byte order mark, UTF-16 and repeated names.
    header, claims = read_jws(token)
    try:
        # PyJWT refuses headers that it does not understand, such as ``crit``.
        jwt.decode_complete(str(token), options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError):
        raise ValueError("PyJWT refuses the token.") from None
    return header, claims


def verify_signature(token: str, header: dict[str, Any], provider: Provider) -> None:
    """Verify that `provider` has signed `token`, whose header is `header`.

    Raises:
        SignatureInvalid: if it has not.
        SignatureUndecided: if it cannot be known yet.
        ProviderUnavailable: if the provider's keys cannot be fetched.
    """
    allowed, algorithm = provider.options.algorithms, header.get("alg")
    # The options list the algorithms: the token must not choose none, or HMAC with a public key.
    # They may be a set, and alg may be a list.
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise SignatureInvalid(
            SignatureFault.ALGORITHM,
            f"It is {shown(algorithm)}; ALGORITHMS of {provider.issuer} are {', '.join(allowed)}.",
        )
    fault = SignatureFault.KEY
    try:
        # One limit, because the keys may be read twice.
        with time_limit(2 * http.TIMEOUT):
            for key in provider.keys.find(header.get("kid"), algorithm):
                found = _find_fault(token, key)
                if found is None:
                    return
                if found is SignatureFault.SIGNATURE:
                    fault = found
    except KeySetMissing:
        raise SignatureInvalid(SignatureFault.NO_KEYS) from None
    except TooEarly as error:
        raise SignatureUndecided(str(error), fault, retry_after=error.retry_after) from None
    if fault is not SignatureFault.KEY:
        raise SignatureInvalid(fault)
    raise SignatureInvalid(
        fault,
        f"Its kid is {shown(header.get('kid'))}, its alg {algorithm}; see 'manage.py "
        "check_provider'.",
    )


def _find_fault(token: str, key: jwt.PyJWK) -> SignatureFault | None:
    """Return why `key` does not verify `token`; None if it does."""
    # The callers check the claims, because PyJWT accepts "1700000000" and true as a time.
    options: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "sub", "jti")}
    options["enforce_minimum_key_length"] = True
    try:
        jwt.decode(token, key, algorithms=[key.algorithm_name], options=options)
    except jwt.InvalidSignatureError:
        return SignatureFault.SIGNATURE
    except Exception:  # It is too short, or OpenSSL refuses to use it.
        return SignatureFault.KEY
    return None


def shown(value: object) -> str:
    """Return `value` for a log line: a claim is a text from outside."""
    try:
        return f"{value!a:.120}"
    except RecursionError:  # A claim may be lists in lists, as deep as json can just read.
        return type(value).__name__
