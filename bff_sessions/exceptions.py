"""Every error that the package raises of its own, under one root.

No text of theirs ever contains a session key, a store key, a ticket or a token.
"""

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

__all__ = [
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


class BffSessionsError(Exception):
    """Root of the package's own errors.

    The first line of a class's docstring is the default message.
    """

    def __init__(self, *args: object) -> None:
        message = (type(self).__doc__ or "").partition("\n")[0]
        super().__init__(*(args or (message,)))


class SessionExists(BffSessionsError):
    """A session with this key is already in the store, expired or not."""


class SessionBusy(BffSessionsError, TimeoutError):
    """Another request had the session to itself for longer than the caller would wait."""


class SessionMissing(BffSessionsError):
    """There is no session with this key: it was never there, or it has ended."""


class SessionChanged(BffSessionsError):
    """Another request has saved the session since the version that the caller knows."""


class SessionConflict(BffSessionsError, UpdateError, SessionInterrupted):
    """A save met so many concurrent saves of the same session that it gave up.

    An ``UpdateError``, so that Django's middleware answers it as it answers a lost session. A
    ``SessionInterrupted``, so that Django answers a view that raises it with status 400.
    """


class TicketUnreadable(BffSessionsError):
    """A ticket does not open: wrong key, other row, truncated or tampered with."""


class ProviderUnavailable(BffSessionsError):
    """The identity provider did not answer as it has to; it may do so later."""

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after = retry_after
        """In how many seconds, if it said so."""


class ClientMisconfigured(ProviderUnavailable):
    """The provider does not accept this site as its client: an operator must mend that.

    The client ID or secret, the authentication method, or what the client may do there is wrong.
    """


class SignInRequired(BffSessionsError):
    """There is no access token that is good: the user has to sign in. Answer with status 401."""


class SignInEnded(SignInRequired):
    """The session has just been signed out, as its provider refuses to go on with it."""
