from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from sample_project import views

urlpatterns = [
    path("", views.home, name="home"),
    path("app", TemplateView.as_view(template_name="sample_project/app.html"), name="app"),
    path("", include("sample_project.oidc" if settings.OIDC else "sample_project.local")),
    path("bff/", include("bff_sessions.urls")),
    path("admin/", admin.site.urls),
]

if settings.OIDC:
    from sample_project import api

    urlpatterns.append(path("api/hello", api.hello))
