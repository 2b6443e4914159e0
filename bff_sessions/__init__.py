"""Server-side sessions for Backend-For-Frontend applications in Django."""

# The system checks register themselves: one of them finds that the app is not installed.
from bff_sessions import checks as checks
from bff_sessions import cookies as cookies
from bff_sessions.identity import Identity, abind_identity, bind_identity

__all__ = ["Identity", "__version__", "abind_identity", "bind_identity"]

__version__ = "0.1.0"
