"""Settings of one process.

BENCH_ENGINE names the engine and BENCH_DATABASE_URL the server. The process creates a database
whose name ends with BENCH_PURPOSE.
"""

import environ

from benchmarks.engines import ENGINES

env = environ.Env()
engine = ENGINES[env("BENCH_ENGINE")]

SECRET_KEY = "only for benchmarks, and long enough for it"
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
ROOT_URLCONF = "benchmarks.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", engine.app]
MIDDLEWARE = [engine.middleware, "django.contrib.auth.middleware.AuthenticationMiddleware"]
SESSION_ENGINE = engine.module
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

BFF_SESSIONS = {"STORE": engine.store}

DATABASES = {"default": env.db("BENCH_DATABASE_URL")}
# Not the database that the URL names, but a new one beside it.
own = f"bench_{env('BENCH_ENGINE')}_{env('BENCH_PURPOSE')}".replace(" ", "_").replace("-", "_")
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_{own}"}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {"timeout": 60}

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Enough for all sessions; the default is 300.
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    }
}
if url := env("TEST_REDIS_URL", default=""):
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": own,
    }
    BFF_SESSIONS["REDIS"] = {"URL": url, "KEY_PREFIX": f"{own}:"}
