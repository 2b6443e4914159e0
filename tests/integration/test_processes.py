"""Real processes that save the same session: nothing that was acknowledged is lost."""

import json

import pytest

from bff_sessions.engine import SessionStore
from bff_sessions.models import Logout
from tests.support.processes import go, processes
from tests.support.provider import Provider
from tests.support.sessions import start
from tests.support.transmitter import Transmitter

WRITER = """
import asyncio, json, sys
import django; django.setup()
from bff_sessions.engine import SessionStore
key, name, count, is_async = json.loads(sys.stdin.readline())

async def save(number):
    session = SessionStore(key)
    await session.aset(f"{name}-{number}", number)
    await session.apop(f"old-{name}-{number}", None)
    await session.asave()

print("ready", flush=True); sys.stdin.readline()
for number in range(count):
    if is_async:
        asyncio.run(save(number))
    else:
        session = SessionStore(key)
        session[f"{name}-{number}"] = number
        session.pop(f"old-{name}-{number}", None)
        session.save()
print("done", flush=True)
"""

DELIVERY = """
import json, sys
from django.conf import settings
issuer, token = json.loads(sys.stdin.readline())
providers = {issuer: {"CLIENT_ID": "shop", "SIGNALS": {}}}
settings.BFF_SESSIONS = {"PARTITION": "sample", "PROVIDERS": providers}
import django; django.setup()
from django.test import Client
client = Client(headers={"host": "localhost"})
print("ready", flush=True); sys.stdin.readline()
response = client.post("/bff/signals", token, content_type="application/secevent+jwt")
print(response.status_code, flush=True)
"""


@pytest.fixture(autouse=True)
def settings_of_the_processes(settings):
    settings.BFF_SESSIONS = {"PARTITION": "sample"}
    settings.SECRET_KEY = "only for the demo, never for a deployment"


def write(key, names, count, is_async):
    """Let processes of these `names` save the session `count` times each."""
    with processes("sample_project.settings") as start_process:
        started = [
            start_process(WRITER, json.dumps([key, name, count, is_async])) for name in names
        ]
        go(*started)
        for process in started:
            assert process.communicate(timeout=120)[0] == "done\n"


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_processes_lose_nothing(is_async):
    names, count = "abc", 20
    old = {f"old-{name}-{number}": 1 for name in names for number in range(count)}
    key = start(kept=1, **old)
    write(key, names, count, is_async)
    expected = {f"{name}-{number}": number for name in names for number in range(count)}
    assert dict(SessionStore(key).items()) == {"kept": 1, **expected}


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_processes_that_receive_one_security_event_end_its_sessions_once(settings):
    with Provider() as provider:
        started = [
            start(oidc={"iss": provider.issuer, "sub": sub, "sid": sid})
            for sub, sid in [("alice", "laptop"), ("alice", "phone"), ("bob", "tablet")]
        ]
        token = Transmitter(provider).token()
        with processes("sample_project.settings") as start_process:
            receivers = [
                start_process(DELIVERY, json.dumps([provider.issuer, token])) for _ in range(3)
            ]
            go(*receivers)
            answers = [process.communicate(timeout=120)[0] for process in receivers]
    assert answers == ["202\n"] * 3
    assert ["oidc" in SessionStore(key) for key in started] == [False, False, True]
    assert [logout.done for logout in Logout.objects.all()] == [True]
