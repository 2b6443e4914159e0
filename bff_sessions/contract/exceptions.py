"""The errors of a store.

No text of theirs contains a session key, a store key, a ticket or a token.
"""

__all__ = [
    "AbilityMissing",
    "BffSessionsError",
    "SessionChanged",
    "SessionExists",
    "SessionMissing",
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


class SessionMissing(BffSessionsError):
    """The store has no session with this key: it has ended, or never was there."""


class SessionChanged(BffSessionsError):
    """Another request has saved the session since the version that the caller knows."""
