"""The session's methods and their asynchronous twins."""

from asgiref.sync import async_to_sync

from bff_sessions.engine import SessionStore


class Calls:
    """Calls a session's methods, or their asynchronous twins."""

    def __init__(self, is_async):
        self.is_async = is_async

    def __getattr__(self, name):
        def call(session, *args, **kwargs):
            if not self.is_async:
                return getattr(session, name)(*args, **kwargs)
            return async_to_sync(getattr(session, f"a{name}"))(*args, **kwargs)

        return call

    def set(self, session, name, value):
        """Set a key of the session."""
        if self.is_async:
            async_to_sync(session.aset)(name, value)
        else:
            session[name] = value

    def change(self, session_key, **values):
        """What a request does that sets some keys of the session."""
        session = SessionStore(session_key)
        self.update(session, values)
        self.save(session)
        return session

    def start(self, **values):
        """Save a new session; the instance that a next request would have."""
        return SessionStore(self.change(None, **values).session_key)
