"""A view that reads the session, and a view that writes it."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def write(request: HttpRequest) -> HttpResponse:
    request.session["mark"] = request.GET["mark"]
    return HttpResponse(request.user.get_username())


urlpatterns = [path("read", read), path("write", write)]
