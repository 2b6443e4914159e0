from django.urls import include, path

from tests.urls import urlpatterns as others

urlpatterns = [*others, path("bff/", include("bff_sessions.urls"))]
