"""The sample of somebody who moves here: on Django's own engine, or on ours beside its table."""

import os

from sample_project.settings import *  # noqa: F403
from sample_project.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.sessions"]
SESSION_ENGINE = os.environ["ENGINE"]
if SESSION_ENGINE != "bff_sessions.engine":
    MIDDLEWARE = [
        name.replace("bff_sessions.middleware", "django.contrib.sessions.middleware")
        for name in MIDDLEWARE
    ]
