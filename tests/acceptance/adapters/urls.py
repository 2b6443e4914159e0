"""What every project has, whichever library signs its users in."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import path


def home(request):
    """Says who is signed in, and saves the session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(request.user.get_username())


urlpatterns = [
    path("", home),
    path("local/", LoginView.as_view()),
    path("admin/", admin.site.urls),
]
