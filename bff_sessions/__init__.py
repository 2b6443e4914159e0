"""Server-side sessions for Backend-For-Frontend applications in Django."""

from typing import TYPE_CHECKING, Any

# The system checks register themselves: one of them finds that the app is not installed.
from bff_sessions import checks as checks
from bff_sessions.identity import Identity, abind_identity, bind_identity

if TYPE_CHECKING:
    from bff_sessions.oidc.access_tokens import aget_access_token, get_access_token

__all__ = [
    "Identity",
    "__version__",
    "abind_identity",
    "aget_access_token",
    "bind_identity",
    "get_access_token",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Not before somebody asks: they need the extra oidc.
    if name in ("aget_access_token", "get_access_token"):
        from bff_sessions.oidc import access_tokens

        return getattr(access_tokens, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
