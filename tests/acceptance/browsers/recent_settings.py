"""The sample with a page that demands a sign-in of the last five seconds."""

from sample_project.settings import *  # noqa: F403
from sample_project.settings import BFF_SESSIONS, OIDC

ROOT_URLCONF = "tests.acceptance.browsers.recent_urls"
if OIDC:
    BFF_SESSIONS["PROVIDERS"][OIDC["ISSUER"]]["LEEWAY"] = 0
