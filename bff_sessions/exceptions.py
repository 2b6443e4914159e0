"""The package's own errors, under one base class.

Those of a store are defined in `bff_sessions.contract.exceptions`. No text of an error contains a
session key, a store key, a ticket or a token.
"""

from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions.contract.exceptions import (
    AbilityMissing,
    BffSessionsError,
    RevocationUnconfirmed,
    SessionChanged,
    SessionExists,
    SessionMissing,
    StoreUnavailable,
)

__all__ = [
    "AbilityMissing",
    "BffSessionsError",
    "ClientMisconfigured",
    "ProviderUnavailable",
    "RecentSignInRequired",
    "RevocationUnconfirmed",
    "SessionBusy",
    "SessionChanged",
    "SessionConflict",
    "SessionExists",
    "SessionMissing",
    "SignInEnded",
    "SignInRequired",
    "StoreUnavailable",
    "TicketUnreadable",
]


class SessionBusy(BffSessionsError, TimeoutError):
    """Another request holds the lease of the session for longer than the caller waits."""


class SessionConflict(BffSessionsError, SessionInterrupted):
    """A save gave up, because too many requests saved the same session at the same time.

    The session lives on. This is a ``SessionInterrupted``, so Django answers 400, in the middleware
    and in a view.
    """


class TicketUnreadable(BffSessionsError):
    """The ticket does not open: its encryption key is not configured, or the session was altered.

    A session is altered if its ticket, or a field that the ticket is bound to, has changed.
    """


class ProviderUnavailable(BffSessionsError):
    """The provider cannot be reached or does not answer as it must. A later request may succeed."""

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after = retry_after
        """The seconds to wait before the next request, if the provider says so."""


class ClientMisconfigured(ProviderUnavailable):
    """The provider does not accept this site as its client. An operator must correct that.

    The client ID or secret, the authentication method, or the rights of the client are wrong.
    """


class SignInRequired(BffSessionsError):
    """The session has no valid access token: the user must sign in. Answer with status 401."""


class SignInEnded(SignInRequired):
    """The session has just ended, because its provider refuses to continue it."""


class RecentSignInRequired(SignInRequired):
    """The user must sign in again at the provider, see recent_sign_in(). The session lives on."""

    def __init__(self, *, max_age: int | None, acr: tuple[str, ...]) -> None:
        super().__init__("The view needs a more recent or a stronger sign-in.")
        self.max_age = max_age
        """The most seconds since the sign-in; None: any."""
        self.acr = acr
        """The values of ``acr`` that will do; empty: any."""
