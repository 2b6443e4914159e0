"""The signature algorithms of providers and transmitters. Imports no optional dependency."""

from __future__ import annotations

from typing import Final

# Asymmetric ones only: an HMAC can be made with the public key or the client secret.
DEFAULT_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
ALGORITHMS: Final = (*DEFAULT_ALGORITHMS, "ES256K")
