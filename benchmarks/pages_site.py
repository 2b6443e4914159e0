"""The site that `benchmarks.pages` measures, for an ASGI server. BENCH_PAGES has its settings."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from typing import Any

import django
import environ
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db.backends.signals import connection_created
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

given = json.loads(os.environ["BENCH_PAGES"])
settings.configure(
    SECRET_KEY="only for benchmarks, and long enough for it",
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "bff_sessions"],
    MIDDLEWARE=["bff_sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="bff_sessions.engine",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": environ.Env.db_url_config(given["database"])},
    BFF_SESSIONS=given["settings"],
)
django.setup()

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.views import streams

if given.get("keeps_threads"):
    streams.release_thread = lambda: None

counts: Counter[str] = Counter()


def count(execute: Any, sql: str, *rest: Any) -> Any:
    counts["statements"] += 1
    return execute(sql, *rest)


def watch(connection: Any, **kwargs: Any) -> None:
    counts["connections"] += 1
    if count not in connection.execute_wrappers:
        connection.execute_wrappers.append(count)


connection_created.connect(watch)


def stats(request: HttpRequest) -> JsonResponse:
    with open("/proc/self/status") as status:  # noqa: PTH123
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    seconds = time.process_time()
    shown = {"memory": memory, "threads": threading.active_count(), "processor": seconds}
    return JsonResponse(counts | shown)


def end(request: HttpRequest) -> JsonResponse:
    """End a session in this process."""
    revoke_sessions(UserSessionsFilter(session_id=request.GET["sid"]))
    return JsonResponse({"ended": time.time()})


urlpatterns = [
    path("bff/", include("bff_sessions.urls")),
    path("stats", stats),
    path("end", end),
]
application = get_asgi_application()
