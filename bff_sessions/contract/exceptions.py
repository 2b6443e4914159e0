"""The errors of a store.

Their texts contain no session key, store key, ticket or token.
"""

from __future__ import annotations

from collections.abc import Sequence

from bff_sessions.contract.sessions import DeletedSession


class BffSessionsError(Exception):
    """Base class of the package's own errors.

    The text of an error that is raised without one is the first line of its class's docstring.
    """

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").partition("\n")[0]


class AbilityMissing(BffSessionsError):
    """The configured store lacks an ability that a feature needs."""

    def __init__(self, store_class: type, ability: type) -> None:
        self.store_class = store_class
        self.ability = ability
        super().__init__(
            f"The store {store_class.__name__} must inherit from {ability.__name__} for this: set "
            "BFF_SESSIONS['STORE'] to another store."
        )


class SessionExists(BffSessionsError):
    """The store already has a session with this key."""


class SessionMissing(BffSessionsError):
    """The store has no session with this key: it has ended or never existed."""


class SessionChanged(BffSessionsError):
    """Another request has saved the session since the caller read it."""


class StoreUnavailable(BffSessionsError):
    """The server of the sessions cannot be reached, or refuses a command. Answer with status 503.

    A write may have been done or not.
    """


class RevocationUnconfirmed(StoreUnavailable):
    """The sessions have ended, but too few replicas have confirmed it: repeat the revocation.

    Until then, a failover may bring the sessions back.
    """

    def __init__(self, deleted: Sequence[DeletedSession]) -> None:
        super().__init__()
        self.deleted = deleted
        """The sessions that this call has deleted. A repetition does not return them again."""
