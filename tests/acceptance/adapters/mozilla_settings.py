from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS
from tests.support.provider import CLIENT_ID, CLIENT_SECRET
from tests.support.recipes import recipe

ROOT_URLCONF = "tests.acceptance.adapters.mozilla_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "mozilla_django_oidc"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "mozilla_django_oidc.auth.OIDCAuthenticationBackend",
]
LOGIN_REDIRECT_URL = "/"
OIDC_RP_CLIENT_ID, OIDC_RP_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
OIDC_RP_SIGN_ALGO = "RS256"
# Set by the tests, which know the provider's port.
OIDC_OP_AUTHORIZATION_ENDPOINT = OIDC_OP_TOKEN_ENDPOINT = OIDC_OP_USER_ENDPOINT = ""

globals().update(recipe("how-to/mozilla-django-oidc", "OIDC_STORE_ID_TOKEN"))
