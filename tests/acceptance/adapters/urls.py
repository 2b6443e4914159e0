"""What every project has, whichever library signs its users in."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import include, path

from bff_sessions import get_access_token, recent_sign_in


def home(request):
    """Says who is signed in, and saves the session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(request.user.get_username())


def token(request):
    return HttpResponse(get_access_token(request))


@recent_sign_in(max_age=300, acr="urn:strong")
def pay(request):
    return HttpResponse("paid")


urlpatterns = [
    path("", home),
    path("pay/", pay),
    path("token/", token),
    path("bff/", include("bff_sessions.urls")),
    path("local/", LoginView.as_view()),
    path("admin/", admin.site.urls),
]
