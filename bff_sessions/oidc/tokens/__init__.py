"""The tokens of a session: BFF_SESSIONS["TOKENS"]. Imports no optional dependency.

Open `keeping` first, which reads and writes them.
"""

from bff_sessions.oidc.tokens.expiry import UNKNOWN_EXPIRY, read_expiry
from bff_sessions.oidc.tokens.keeping import Tokens, keep_tokens, read_tokens, tokens_of

__all__ = [
    "UNKNOWN_EXPIRY",
    "Tokens",
    "keep_tokens",
    "read_expiry",
    "read_tokens",
    "tokens_of",
]
