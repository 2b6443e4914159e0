from django.urls import include, path
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView

from tests.acceptance.adapters import urls

urlpatterns = [
    *urls.urlpatterns,
    path("oidc/", include("mozilla_django_oidc.urls")),
    path("plain/", OIDCAuthenticationCallbackView.as_view(), name="plain"),
]
