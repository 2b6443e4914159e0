"""The sample and the provider as processes of their own."""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


SECONDS_TO_START = 120  # It may run npm ci first.


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Sample:
    """manage.py demo, with the provider or without, and what else is set in its environment."""

    def __init__(self, folder, *, provider, **environment):
        self.port, self.provider_port = free_port(), free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.issuer = f"http://localhost:{self.provider_port}"
        self.log_file = folder / "demo.log"
        self.command = [sys.executable, "manage.py", "demo", str(self.port), "--no-seed"]
        if provider:
            self.command += ["--provider", "--provider-port", str(self.provider_port)]
        # An empty value counts as none, so a .env of the developer's changes nothing.
        nothing = dict.fromkeys(["OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"], "")
        self.environment = {
            **os.environ,
            **nothing,
            "DJANGO_SETTINGS_MODULE": "sample_project.settings",
            "DATABASE_URL": f"sqlite:///{folder / 'sample.sqlite3'}",
            "DEBUG": "true",
            "NO_PROXY": "localhost,127.0.0.1",
            "no_proxy": "localhost,127.0.0.1",
            **environment,
        }

    @property
    def log(self):
        return self.log_file.read_text()

    def start(self):
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not is_listening(self.port):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """End it as a deployment does, and wait until it has ended."""
        self.process.terminate()
        self.process.wait(timeout=30)


class AsgiSample(Sample):
    """The sample without the provider, on uvicorn."""

    def __init__(self, folder, **environment):
        super().__init__(folder, provider=False, **environment)
        self.set_up = [*self.command, "--no-serve"]
        self.command = [sys.executable, "-m", "uvicorn", "tests.support.sample_asgi:application"]
        self.command += ["--port", str(self.port)]

    def start(self):
        subprocess.run(self.set_up, cwd=ROOT, env=self.environment, check=True, capture_output=True)
        super().start()


@contextmanager
def running(folder, *, provider, **environment):
    with _running(Sample(folder, provider=provider, **environment)) as sample:
        yield sample


@contextmanager
def running_on_asgi(folder, **environment):
    with _running(AsgiSample(folder, **environment)) as sample:
        yield sample


@contextmanager
def _running(sample):
    try:
        sample.start()
        yield sample
    finally:
        sample.kill()


def session_key(page):
    (key,) = [c["value"] for c in page.context.cookies() if c["name"] == "sessionid"]
    return key


def session_id(page):
    """The sid that the sample's page shows."""
    return re.search(r"Session ID</dt><dd><code>([\w-]+)<", page.content())[1]
