"""The settings of the tests, with what Django's own session tests expect beside it."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

# The models of the test package are imported by it; its engine is not used.
INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.sessions", "sessions_tests"]
