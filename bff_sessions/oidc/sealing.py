"""How a refresh token is kept that waits to be revoked: encrypted, and told apart by a digest."""

from __future__ import annotations

import hashlib
import json

from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.protection import protect, unprotect
from bff_sessions.secret import hidden_frames

__all__ = ["open_token", "seal_token"]


@hidden_frames()
def seal_token(issuer: str, token: str) -> tuple[str, bytes]:
    """A digest of the token and its issuer, and the token as only open_token() reads it."""
    # What a provider makes cannot be guessed, so a plain digest does.
    digest = hashlib.sha256(json.dumps(["token revocation", issuer, token]).encode()).hexdigest()
    return digest, protect(token.encode(), key=digest, partition=_purpose(issuer))


@hidden_frames()
def open_token(row: TokenRevocation) -> str:
    """The token that seal_token() has sealed.

    Raises:
        TicketUnreadable: if it does not open.
    """
    return unprotect(bytes(row.token), key=row.digest, partition=_purpose(row.issuer)).decode()


def _purpose(issuer: str) -> str:
    # No partition has a NUL, so this opens no ticket; and who alters the issuer opens nothing.
    return f"\0token revocation\0{issuer}"
