"""``path("bff/", include("bff_sessions.urls"))``

BFF_SESSIONS["ENDPOINTS"] switches those for the front end; the one for providers is there if
BFF_SESSIONS["PROVIDERS"] names one.
"""

from __future__ import annotations

from django.urls import path

from bff_sessions.oidc.views import backchannel_logout
from bff_sessions.views.login import login
from bff_sessions.views.logout import logout, logout_callback
from bff_sessions.views.sessions import others, session, sessions
from bff_sessions.views.user import user

app_name = "bff_sessions"

urlpatterns = [
    path("user", user, name="user"),
    path("sessions", sessions, name="sessions"),
    path("sessions/others", others, name="other-sessions"),
    path("sessions/<str:public_id>", session, name="session"),
    path("login", login, name="login"),
    path("logout", logout, name="logout"),
    path("logout/callback", logout_callback, name="logout-callback"),
    path("backchannel-logout", backchannel_logout, name="backchannel-logout"),
]
