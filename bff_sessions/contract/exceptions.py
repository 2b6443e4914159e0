"""The errors of a store.

Their texts contain no session key, store key, ticket or token.
"""


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
