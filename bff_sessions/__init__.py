"""Server-side sessions for Backend-For-Frontend applications in Django."""

from bff_sessions.identity import Identity, abind_identity, bind_identity

__all__ = ["Identity", "__version__", "abind_identity", "bind_identity"]

__version__ = "0.1.0"
