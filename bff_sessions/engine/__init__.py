"""The session engine: ``SESSION_ENGINE = "bff_sessions.engine"``.

From the outside to the inside:

- `session`: what Django calls, each method beside its asynchronous twin;
- `exclusive`: a session that one request has to itself;
- `lifecycle`: what a session does from the first load to the end;
- `saving`: how it writes its row, and how concurrent saves merge;
- `moves`: what a request does whose session another one has moved to a new key;
- `signing_in`: what happens to other sessions when somebody signs in;
- `rows`: from session data to a row of the store, and back;
- `lifetimes`: how long a session lives;
- `merging`: how the changes of two requests become one;
- `take_over`: sessions of the engine that was used before;
- `steps`: how all of it is told once for synchronous and asynchronous callers.
"""

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

if apps.ready and not apps.is_installed("bff_sessions"):
    raise ImproperlyConfigured(
        "SESSION_ENGINE is 'bff_sessions.engine', but the app is not installed: "
        "add 'bff_sessions' to INSTALLED_APPS."
    )

from bff_sessions.engine.session import SessionStore

__all__ = ["SessionStore"]
