"""Start the OpenID Provider in this folder, which runs on Node.js."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from django.core.management.base import CommandError

FOLDER = Path(__file__).parent
SECONDS_TO_START = 30


def install():
    """Run `npm ci` if package-lock.json is newer than the installed packages."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise CommandError("The provider needs Node.js 20 or later with npm: https://nodejs.org/")
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    if subprocess.run(["npm", "ci"], cwd=FOLDER).returncode:
        raise CommandError("The provider cannot be installed: npm ci failed, see above.")


def start(environment):
    """Start the provider, and return its process as soon as it answers.

    It stops when the pipe to its standard input closes, which the last process with that pipe does.
    """
    address = urlsplit(environment["OIDC_ISSUER"])
    try:
        socket.create_server((address.hostname, address.port)).close()
    except OSError as error:
        raise CommandError(
            f"The provider cannot listen at {address.netloc} ({os.strerror(error.errno)}). "
            "Give it another port with --provider-port."
        ) from error
    process = subprocess.Popen(
        ["node", "server.js", "--stop-with-stdin"],
        cwd=FOLDER,
        env=os.environ | {"KEY_FILE": str(FOLDER / "key.json")} | environment,
        stdin=subprocess.PIPE,
    )
    discovery = f"{environment['OIDC_ISSUER']}/.well-known/openid-configuration"
    opener = build_opener(ProxyHandler({}))  # No proxy, because the provider runs on this machine.
    deadline = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(discovery, timeout=1).close()
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise CommandError("The provider did not start; see its output above.")
