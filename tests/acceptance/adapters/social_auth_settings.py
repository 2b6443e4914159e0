from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS
from tests.support.provider import CLIENT_ID, CLIENT_SECRET
from tests.support.recipes import recipe

ROOT_URLCONF = "tests.acceptance.adapters.social_auth_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "social_django"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "tests.acceptance.adapters.social_auth_backends.Provider",
]
LOGIN_URL = LOGIN_REDIRECT_URL = "/"
SOCIAL_AUTH_OIDC_KEY, SOCIAL_AUTH_OIDC_SECRET = CLIENT_ID, CLIENT_SECRET

globals().update(recipe("how-to/social-auth", "SOCIAL_AUTH_PIPELINE"))
