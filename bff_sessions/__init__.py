"""Server-side sessions for Backend-For-Frontend applications in Django."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bff_sessions.identity import Identity, abind_identity, bind_identity
    from bff_sessions.oidc.refresh.access_tokens import aget_access_token, get_access_token
    from bff_sessions.oidc.sign_in.step_up import sign_in_parameters
    from bff_sessions.oidc.sign_in.token_responses import asign_in, sign_in
    from bff_sessions.views.recent import (
        arequire_recent_sign_in,
        recent_sign_in,
        require_recent_sign_in,
    )

__all__ = [
    "Identity",
    "__version__",
    "abind_identity",
    "aget_access_token",
    "arequire_recent_sign_in",
    "asign_in",
    "bind_identity",
    "get_access_token",
    "recent_sign_in",
    "require_recent_sign_in",
    "sign_in",
    "sign_in_parameters",
]

__version__ = "0.1.0"

# Imported when they are first used: stores need the contract alone, and access tokens need the
# extra oidc.
_MODULES = {
    "Identity": "identity",
    "abind_identity": "identity",
    "aget_access_token": "oidc.refresh.access_tokens",
    "arequire_recent_sign_in": "views.recent",
    "asign_in": "oidc.sign_in.token_responses",
    "bind_identity": "identity",
    "get_access_token": "oidc.refresh.access_tokens",
    "recent_sign_in": "views.recent",
    "require_recent_sign_in": "views.recent",
    "sign_in": "oidc.sign_in.token_responses",
    "sign_in_parameters": "oidc.sign_in.step_up",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module(f"{__name__}.installed").require_app()
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
