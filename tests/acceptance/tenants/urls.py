from django.urls import include, path

urlpatterns = [path("bff/", include("bff_sessions.urls"))]
