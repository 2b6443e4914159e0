"""The admin reads the database of the store, also if no router names it."""

import subprocess
import sys

from tests.support.processes import ROOT

_OWN_DATABASE = """
import sys
from django.conf import settings
from tests import settings as tests

names = [name for name in dir(tests) if name.isupper()]
settings.configure(**{name: getattr(tests, name) for name in names} | {
    "DATABASES": {
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{sys.argv[1]}/{alias}.sqlite3"}
        for alias in ("default", "sessions")
    },
    "BFF_SESSIONS": {"STORE": "stores.Sessions"},
})
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment
from bff_sessions.models import Session
from bff_sessions.stores.orm import OrmUserSessionStore

sys.modules["stores"] = module = type(sys)("stores")
class Sessions(OrmUserSessionStore):
    def __init__(self):
        super().__init__(using="sessions")
module.Sessions = Sessions

for alias in settings.DATABASES: call_command("migrate", database=alias, verbosity=0)
setup_test_environment()
operator = User.objects.create(username="operator", is_staff=True, is_superuser=True)
browser = Client()
browser.force_login(operator)
Client().force_login(User.objects.create(username="alice"))
LIST = "/admin/bff_sessions/session/"
listed = browser.get(LIST).context["cl"].result_list
alices = next(session for session in listed if session.user_id != str(operator.pk))
print(len(listed), browser.get(f"{LIST}overview/").context["live"])
print(browser.get(f"{LIST}{alices.pk}/change/").status_code)
browser.post(LIST, {"action": "end_sessions", "_selected_action": alices.pk, "post": "yes"})
print(Session.objects.using("sessions").filter(subject_id=alices.subject_id).count())
"""


def test_admin_shows_and_ends_sessions_in_the_database_of_the_store(tmp_path):
    command = [sys.executable, "-c", _OWN_DATABASE, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "2 2\n200\n0\n"
