"""Use the installed package as a project would; run by tox -e package, outside the source."""

import importlib.metadata

import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    INSTALLED_APPS=["bff_sessions"],
    SESSION_ENGINE="bff_sessions.engine",
    SECRET_KEY="only for this script",
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

import bff_sessions  # noqa: E402
import bff_sessions.urls  # noqa: E402  # Needs nothing that is optional either.
from bff_sessions.engine import SessionStore  # noqa: E402

assert "site-packages" in bff_sessions.__file__, bff_sessions.__file__
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
session = SessionStore()
session["answer"] = 42
session.save()
assert SessionStore(session.session_key)["answer"] == 42
call_command("cleanup_sessions")
print("django-bff-sessions", importlib.metadata.version("django-bff-sessions"), "works.")
