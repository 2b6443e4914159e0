"""The endpoints of the front end, under ``path("bff/", include("bff_sessions.urls"))``.

- `endpoint`: the decorator of all endpoints, and their errors
- `user`, `sessions`, `login`, `logout`: one endpoint each, or a family of them
- `events`: the stream by which an open page learns that its session has ended, with `streams` and
  `places`
- `my_sessions`: the pages on which users see and end their sessions
- `local`: the check of URLs to which an endpoint may redirect

The views are synchronous, so they also work with ATOMIC_REQUESTS, which refuses asynchronous views.
Under ASGI, Django runs them in a thread for each request.
"""
