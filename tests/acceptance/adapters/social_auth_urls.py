from django.urls import include, path

from tests.acceptance.adapters import urls

urlpatterns = [*urls.urlpatterns, path("", include("social_django.urls"))]
