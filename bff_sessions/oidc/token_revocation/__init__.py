"""Revoke the refresh tokens of ended sessions at their provider: BFF_SESSIONS["TOKEN_REVOCATION"].

Open `outbox` first, where tokens wait. `sending` needs the extra oidc.
"""
