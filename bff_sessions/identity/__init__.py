"""The identity of a session: issuer, subject, session ID and user, resolved from its data.

- `person`: the identity
- `binding`: writes it at sign-in
- `resolver`: finds it in session data
- `claims`: the keys of session data that a sign-in writes
- `claim_names`: names of claims, by what they say
- `older_claims`: claims of a person who was signed in before
- `session_ids`: those of our own, where the provider gives none
- `id_tokens`, `jws`: what an ID token says, read without verifying it
"""

from bff_sessions.identity.binding import abind_identity, bind_identity
from bff_sessions.identity.claims import (
    AUTH_USER_ID,
    begins_sign_in,
    has_several_sources,
    is_claims_key,
    is_claims_source,
    sign_in_part,
)
from bff_sessions.identity.older_claims import older_claims
from bff_sessions.identity.person import ANONYMOUS, Identity
from bff_sessions.identity.resolver import identify, resolve_identity

__all__ = [
    "ANONYMOUS",
    "AUTH_USER_ID",
    "Identity",
    "abind_identity",
    "begins_sign_in",
    "bind_identity",
    "has_several_sources",
    "identify",
    "is_claims_key",
    "is_claims_source",
    "older_claims",
    "resolve_identity",
    "sign_in_part",
]
