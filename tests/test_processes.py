"""Real processes that save the same session: nothing that was acknowledged is lost."""

import json
import os
import subprocess
import sys

import pytest

from bff_sessions.engine import SessionStore
from tests.test_exclusive import ROOT, start
from tests.test_sample import database_url

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
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "sample_project.settings",
        "DATABASE_URL": database_url(),
        "DEBUG": "true",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in names
    ]
    for name, process in zip(names, processes, strict=True):
        process.stdin.write(json.dumps([key, name, count, is_async]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert output == "done\n", errors


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_processes_lose_nothing(is_async):
    names, count = "abc", 20
    old = {f"old-{name}-{number}": 1 for name in names for number in range(count)}
    key = start(kept=1, **old)
    write(key, names, count, is_async)
    expected = {f"{name}-{number}": number for name in names for number in range(count)}
    assert dict(SessionStore(key).items()) == {"kept": 1, **expected}
