"""Every error that the package raises of its own, under one root.

Those of a store are defined in `bff_sessions.contract.exceptions`. No text of an error contains a
session key, a store key, a ticket or a token.
"""

from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions.contract.exceptions import (
    AbilityMissing,
    BffSessionsError,
    SessionChanged,
    SessionExists,
    SessionMissing,
)

__all__ = [
    "AbilityMissing",
    "BffSessionsError",
    "ClientMisconfigured",
    "ProviderUnavailable",
    "SessionBusy",
    "SessionChanged",
    "SessionConflict",
    "SessionExists",
    "SessionMissing",
    "SignInEnded",
    "SignInRequired",
    "TicketUnreadable",
]


class SessionBusy(BffSessionsError, TimeoutError):
    """Another request has the session to itself for longer than the caller waits."""


class SessionConflict(BffSessionsError, SessionInterrupted):
    """A save met so many concurrent saves of the same session that it gave up.

    The session lives on. A ``SessionInterrupted``, so Django answers it as it answers a lost
    session, in the middleware and in a view.
    """


class TicketUnreadable(BffSessionsError):
    """The ticket does not open: another key made it, or the ticket or its session was altered."""


class ProviderUnavailable(BffSessionsError):
    """The provider does not answer as it must; it may do so later."""

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after = retry_after
        """The seconds to wait before the next request, if the provider says so."""


class ClientMisconfigured(ProviderUnavailable):
    """The provider does not accept this site as its client, which an operator must mend.

    The client ID or secret, the authentication method, or the rights of the client are wrong.
    """


class SignInRequired(BffSessionsError):
    """The session has no valid access token: the user must sign in. Answer with status 401."""


class SignInEnded(SignInRequired):
    """The session has just been signed out, because its provider refuses to continue it."""
