from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from sample_project import views

urlpatterns = [
    path("", views.home, name="home"),
    path("", include("sample_project.oidc" if settings.OIDC else "sample_project.local")),
    path("bff/", include("bff_sessions.urls")),
    path("admin/", admin.site.urls),
]
