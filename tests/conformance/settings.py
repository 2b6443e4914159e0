"""The settings of the tests, with what Django's own session tests expect beside it."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

# What the test package needs beside them; the models of contrib.sessions are there already.
INSTALLED_APPS = [*INSTALLED_APPS, "sessions_tests"]
