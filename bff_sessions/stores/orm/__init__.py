"""The default store: sessions in a database, through Django's ORM."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bff_sessions.stores.orm.store import OrmUserSessionStore

__all__ = ["OrmUserSessionStore"]


def __getattr__(name: str) -> Any:
    # `bff_sessions.models` imports the model from this package, and the store's module builds
    # statements from the model. So the store is imported when it is first used.
    if name == "OrmUserSessionStore":
        from bff_sessions.stores.orm.store import OrmUserSessionStore

        globals()[name] = OrmUserSessionStore
        return OrmUserSessionStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
