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
NODE = 20  # the oldest version, as in package.json


def install():
    """Run `npm ci` if package-lock.json is newer than the installed packages."""
    check_node()
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    if subprocess.run(["npm", "ci"], cwd=FOLDER).returncode:
        raise CommandError("The provider cannot be installed: npm ci failed, see above.")


def check_node():
    """Raise CommandError unless Node.js with npm is installed, and is new enough."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    found = f"{' and '.join(missing)} cannot be found" if missing else None
    if not missing:
        version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
        major = version.strip().removeprefix("v").partition(".")[0]
        if not (major.isdecimal() and int(major) >= NODE):
            found = f"node is {version.strip() or 'broken'}"
    if found:
        raise CommandError(
            f"The provider needs Node.js {NODE} or later with npm, but {found}. Install it from "
            "https://nodejs.org/, or run the demo without --provider."
        )


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
