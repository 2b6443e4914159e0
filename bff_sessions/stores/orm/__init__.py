"""Sessions in a database, through Django's ORM: the default store."""

from bff_sessions.stores.orm.store import OrmUserSessionStore

__all__ = ["OrmUserSessionStore"]
