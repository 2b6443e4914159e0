"""The registrations of this site at its providers: BFF_SESSIONS["PROVIDERS"].

Open `lookup` first, which finds them. Imports no optional dependency; `client_keys` and
`authentication` do.
"""

from bff_sessions.oidc.registrations.lookup import (
    are_looked_up,
    find_registration,
    forget_providers,
    known_issuers,
    known_registrations,
    may_receive_signals,
    warn_of_unknown_client,
)
from bff_sessions.oidc.registrations.registration import Registration

__all__ = [
    "Registration",
    "are_looked_up",
    "find_registration",
    "forget_providers",
    "known_issuers",
    "known_registrations",
    "may_receive_signals",
    "warn_of_unknown_client",
]
