"""Settings of the tests; TEST_DATABASE_URL names the database, SQLite by default."""

import environ

env = environ.Env()

SECRET_KEY = "only for tests, and long enough for it"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    # For what is taken over from it.
    "django.contrib.sessions",
    "bff_sessions",
    # Off, unless a test uses the fixture `history`.
    "tests.support.history.QuietHistoryConfig",
]
MIDDLEWARE = [
    "bff_sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
SESSION_ENGINE = "bff_sessions.engine"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {"default": env.db("TEST_DATABASE_URL", default="sqlite:///tests.sqlite3")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file and not memory: threads and processes must be able to race for it.
    # One for each environment of tox, which run at the same time.
    name = env("TOX_ENV_NAME", default="tests")
    DATABASES["default"]["TEST"] = {"NAME": f"test-{name}.sqlite3"}
    # What a power failure would leave is not tested, and waiting for the disk is most of the time.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA synchronous = OFF",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["OPTIONS"] = {"options": "-c synchronous_commit=off"}
