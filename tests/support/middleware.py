"""The names of the two session middlewares."""

OURS = "bff_sessions.middleware.SessionMiddleware"


DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
