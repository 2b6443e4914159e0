"""Python in processes of its own, which share the database of the tests."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

ROOT = Path(__file__).parents[2]
# Empty is as good as absent, and keeps out what a .env may say.
NO_PROVIDER = dict.fromkeys(["OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"], "")


def database_url():
    """The database of the tests, as a URL for the settings of a process."""
    configured = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{ROOT / configured['NAME']}"
    return re.sub(r"/[^/]*$", f"/{configured['NAME']}", os.environ["TEST_DATABASE_URL"])


@contextmanager
def processes(settings_module):
    """Starts processes that read a line, say that they are ready, and wait for go()."""
    started = []

    def start_process(code, line, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            env={
                **os.environ,
                **NO_PROVIDER,
                "DJANGO_SETTINGS_MODULE": settings_module,
                # Of the sample project, and of the tests.
                "DATABASE_URL": database_url(),
                "TEST_DATABASE_URL": database_url(),
                "DEBUG": "true",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        return process

    try:
        yield start_process
    finally:
        for process in started:
            process.kill()
            process.communicate()


def go(*started):
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
