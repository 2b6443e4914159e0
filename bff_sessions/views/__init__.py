"""The endpoints of the front end, under ``path("bff/", include("bff_sessions.urls"))``.

- `endpoint`: what all of them have in common;
- `user`, `sessions`, `login`, `logout`: one endpoint each, or a family of them;
- `my_sessions`: the pages of the sessions, for people;
- `local`: where they may send a browser.

The views are synchronous: they work under WSGI and ASGI alike, where Django gives each request a
thread of its own for them, and with ATOMIC_REQUESTS, which refuses asynchronous views.
"""
