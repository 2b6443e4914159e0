"""URLs of the package: ``path("bff/", include("bff_sessions.urls"))``.

BFF_SESSIONS["ENDPOINTS"] selects the endpoints of the front end. Those of providers work if
BFF_SESSIONS["PROVIDERS"] names a provider.
"""

from __future__ import annotations

from django.urls import path

from bff_sessions.oidc.jwks import jwks
from bff_sessions.oidc.logout.views import backchannel_logout
from bff_sessions.oidc.shared_signals.views import signals
from bff_sessions.views.events import events
from bff_sessions.views.health import health
from bff_sessions.views.login import login
from bff_sessions.views.logout import logout, logout_callback
from bff_sessions.views.my_sessions import end_my_session, end_other_sessions, my_sessions
from bff_sessions.views.sessions import others, session, sessions
from bff_sessions.views.user import user

app_name = "bff_sessions"

urlpatterns = [
    path("user", user, name="user"),
    path("sessions", sessions, name="sessions"),
    path("sessions/others", others, name="other-sessions"),
    path("sessions/<str:public_id>", session, name="session"),
    path("my-sessions", my_sessions, name="my-sessions"),
    path("my-sessions/others/end", end_other_sessions, name="end-other-sessions"),
    path("my-sessions/<str:public_id>/end", end_my_session, name="end-my-session"),
    path("login", login, name="login"),
    path("logout", logout, name="logout"),
    path("logout/callback", logout_callback, name="logout-callback"),
    path("events", events, name="events"),
    path("health", health, name="health"),
    path("backchannel-logout", backchannel_logout, name="backchannel-logout"),
    path("signals", signals, name="signals"),
    path("jwks", jwks, name="jwks"),
]
