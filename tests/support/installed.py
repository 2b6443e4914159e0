"""Use the installed package as a project would; run by tox -e package, outside the source."""

import importlib.metadata
import importlib.resources

import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import include, path

settings.configure(
    INSTALLED_APPS=["bff_sessions"],
    SESSION_ENGINE="bff_sessions.engine",
    SECRET_KEY="only for this script",
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    MIDDLEWARE=["bff_sessions.middleware.SessionMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

import bff_sessions  # noqa: E402
from bff_sessions.engine import SessionStore  # noqa: E402

# The endpoints need nothing that is optional either.
urlpatterns = [path("bff/", include("bff_sessions.urls"))]

assert "site-packages" in bff_sessions.__file__, bff_sessions.__file__
package = importlib.resources.files("bff_sessions")
for name in ("static/bff_sessions/admin.css", "templates/admin/bff_sessions/session/overview.html"):
    assert package.joinpath(name).is_file(), name
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
session = SessionStore()
session["answer"] = 42
session.save()
assert SessionStore(session.session_key)["answer"] == 42
session["oidc"] = {"iss": "https://idp.example", "sub": "alice"}
session.save()
client = Client()
client.cookies["sessionid"] = session.session_key
user = client.get("/bff/user", headers={"X-CSRF": "1"}).json()
assert user["claims"] == session["oidc"], user
assert client.post("/bff/logout").headers["Location"] == "/"
assert client.get("/bff/user", headers={"X-CSRF": "1"}).status_code == 401
call_command("cleanup_sessions")
print("django-bff-sessions", importlib.metadata.version("django-bff-sessions"), "works.")
