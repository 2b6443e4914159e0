"""Every error that the package raises of its own, under one root.

No text of theirs ever contains a session key, a store key, a ticket or a token.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.sessions.exceptions import SessionInterrupted

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


class BffSessionsError(Exception):
    """Root of the package's own errors.

    The first line of a class's docstring is the text of an error that is raised without one.
    """

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").partition("\n")[0]


class AbilityMissing(BffSessionsError):
    """The configured store lacks an ability that a feature needs."""

    def __init__(self, store_class: type, ability: type) -> None:
        self.store_class = store_class
        self.ability = ability
        super().__init__(
            f"The store {store_class.__name__} must be a {ability.__name__} for this, which it "
            "is not: set BFF_SESSIONS['STORE'] to another one."
        )


class SessionExists(BffSessionsError):
    """The store already has a session with this key."""


class SessionBusy(BffSessionsError, TimeoutError):
    """Somebody else had the session to themselves for longer than the caller would wait."""


class SessionMissing(BffSessionsError):
    """There is no session with this key: it was never there, or it has ended."""


class SessionChanged(BffSessionsError):
    """Somebody else saved the session since the version that the caller knows."""


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


if TYPE_CHECKING:

    class SessionConflict(BffSessionsError, SessionInterrupted):
        """A save met so many concurrent saves of the same session that it gave up.

        The session lives on. A ``SessionInterrupted``, so Django answers it as it answers a lost
        session, in the middleware and in a view.
        """


@cache
def _session_conflict() -> type[Exception]:
    from django.contrib.sessions.exceptions import SessionInterrupted

    text = "A save met so many concurrent saves of the same session that it gave up."
    namespace = {"__doc__": text, "__module__": __name__}
    return type("SessionConflict", (BffSessionsError, SessionInterrupted), namespace)


def __getattr__(name: str) -> Any:
    # The contract needs these errors, and imports nothing of Django.
    if name != "SessionConflict":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, _session_conflict())
