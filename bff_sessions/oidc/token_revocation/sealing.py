"""Seal a refresh token that waits to be revoked, so that only this site can read it."""

from __future__ import annotations

import hashlib
import json

from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.protection import open_sealed, seal
from bff_sessions.secret import hidden_frames


@hidden_frames()
def seal_token(issuer: str, token: str) -> tuple[str, bytes]:
    """Return a digest of the token and its issuer, and the token as open_token() reads it."""
    # A provider's token cannot be guessed, so a plain digest is enough.
    digest = hashlib.sha256(json.dumps(["token revocation", issuer, token]).encode()).hexdigest()
    return digest, seal(token.encode(), bound_to=(digest, issuer), purpose="token revocation")


@hidden_frames()
def open_token(row: TokenRevocation) -> str:
    """Return the token that seal_token() sealed into `row`.

    Raises:
        TicketUnreadable: if it does not open. It does not after a change of the row's issuer.
    """
    bound_to = (row.digest, row.issuer)
    return open_sealed(bytes(row.token), bound_to=bound_to, purpose="token revocation").decode()
