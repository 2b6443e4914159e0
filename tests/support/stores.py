"""The stores that tests configure, by their names."""

ORM = "bff_sessions.stores.orm.OrmUserSessionStore"


MEMORY = "bff_sessions.stores.memory.InMemoryUserSessionStore"


CACHED = "bff_sessions.stores.cached.CachedUserSessionStore"


MINIMAL = "tests.support.minimal.MinimalStore"


NATIVE_EXPIRY = "tests.support.native_expiry.NativeExpiryStore"
