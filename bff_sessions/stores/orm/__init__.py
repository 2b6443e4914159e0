"""Sessions in a database, through Django's ORM: the default store."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bff_sessions.stores.orm.store import OrmUserSessionStore

__all__ = ["OrmUserSessionStore"]


def __getattr__(name: str) -> Any:
    # Not before it is used: `bff_sessions.models` imports the model from here, and the store has
    # statements made of the model.
    if name == "OrmUserSessionStore":
        from bff_sessions.stores.orm.store import OrmUserSessionStore

        globals()[name] = OrmUserSessionStore
        return OrmUserSessionStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
