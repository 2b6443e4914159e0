"""The session engine: ``SESSION_ENGINE = "bff_sessions.engine"``.

`session` is Django's session API, each method beside its asynchronous twin. It stands on
`lifecycle`, where load, save, create, cycle_key, delete and flush are plain steps. These use:

- `state`: what a request knows of its session, by name, and the transitions between these states;
- `data`: the session data, and what the request has changed in them;
- `saving` and `renewal`: how a session is written, or lives on without that;
- `conflicts`: how concurrent saves merge (`merging`, `equality`);
- `moves`: where a session is that another request has moved to a new key;
- `signing_in`: what a sign-in does to other sessions;
- `exclusive`: the lease of a session by one request;
- `tickets`, `lifetimes`, `auth`: encryption, expiry, and what ``django.contrib.auth`` adds;
- `take_over`: sessions of the engine that was used before;
- `verbs`: what all these steps ask of the store, with types.

`bff_sessions.sansio` runs the steps for synchronous and asynchronous callers.

Nothing here knows `oidc` or `device`: they subscribe to `bff_sessions.events`.
"""

from bff_sessions.installed import require_app

# Before the models, whose import would fail with a text that names no remedy.
require_app()

from bff_sessions.engine.session import SessionStore  # noqa: E402

__all__ = ["SessionStore"]
