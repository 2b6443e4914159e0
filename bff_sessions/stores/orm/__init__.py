"""The default store: sessions in a database, through Django's ORM."""

from bff_sessions.stores.orm.store import OrmUserSessionStore

__all__ = ["OrmUserSessionStore"]
