"""Real processes that save the same session: nothing that was acknowledged is lost."""

import json

import pytest

from bff_sessions.engine import SessionStore
from tests.support.processes import go, processes
from tests.support.sessions import start

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
