"""Settings of the sample project. Those of one machine are read from .env."""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

# The sample runs without settings. A deployment sets DEBUG=false and must set SECRET_KEY.
DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = (
    env("SECRET_KEY", default="only for the demo, never for a deployment")
    if DEBUG
    else env("SECRET_KEY")
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # Before bff_sessions, so that its templates override those of bff_sessions.
    "sample_project",
    "bff_sessions",
    "bff_sessions.history",
]

SESSION_ENGINE = "bff_sessions.engine"
BFF_SESSIONS = {
    "PARTITION": "sample",
    "DEVICE": {"USER_AGENT": True, "ADDRESS": "truncated"},
    # Django's development server begins a thread for each request. So many may wait: a quarter.
    "EVENTS_THREADS": 80,
}

# With all three, users sign in at that OpenID Provider; without them, at the sample.
OIDC = {name: env(f"OIDC_{name}", default="") for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET")}
if not any(OIDC.values()):
    OIDC = None
elif not all(OIDC.values()):
    missing = ", ".join(f"OIDC_{name}" for name, value in OIDC.items() if not value)
    raise ImproperlyConfigured(f"To let users sign in at a provider, also set {missing}.")
else:
    BFF_SESSIONS["PROVIDERS"] = {
        OIDC["ISSUER"]: {name: OIDC[name] for name in ("CLIENT_ID", "CLIENT_SECRET")}
    }
    BFF_SESSIONS["LOGIN_URL"] = "authorize"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "bff_sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'sample.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A transaction that writes waits for the lock at its beginning, instead of failing later.
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Log which sessions providers and operators end, and which requests are refused.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_polls": {"()": "sample_project.logs.NoPolls"}},
    # As Django does it for runserver.
    "formatters": {
        "server": {
            "()": "django.utils.log.ServerFormatter",
            "format": "[{server_time}] {message}",
            "style": "{",
        }
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler"},
        "server": {
            "class": "logging.StreamHandler",
            "formatter": "server",
            "filters": ["no_polls"],
        },
    },
    "loggers": {
        "bff_sessions": {"handlers": ["console"], "level": "INFO"},
        "django.server": {"handlers": ["server"], "level": "INFO", "propagate": False},
    },
}

ROOT_URLCONF = "sample_project.urls"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "UTC"
