"""``path("bff/", include("bff_sessions.urls"))``"""

from __future__ import annotations

from django.urls import path

from bff_sessions.oidc.views import backchannel_logout

app_name = "bff_sessions"

urlpatterns = [path("backchannel-logout", backchannel_logout, name="backchannel-logout")]
