"""Run the whole test-suite: on SQLite, and on every server that the environment names.

    python -m tests [arguments of pytest]

TEST_POSTGRESQL_URL and TEST_MARIADB_URL name the servers, for example
postgres://postgres@127.0.0.1:5432/bff_sessions, and TEST_REDIS_URL a cache,
redis://127.0.0.1:6379/9. One that is named and cannot be reached is a failure; what is not named
is left out, and the last line says so.
"""

import os
import subprocess
import sys
from pathlib import Path

SERVERS = {"PostgreSQL": "TEST_POSTGRESQL_URL", "MariaDB": "TEST_MARIADB_URL"}
CACHES = {"Redis": "TEST_REDIS_URL"}


def main(arguments: list[str]) -> int:
    databases = {"SQLite": "sqlite:///tests.sqlite3"}
    databases |= {name: os.environ[url] for name, url in SERVERS.items() if os.environ.get(url)}
    caches = [name for name, url in CACHES.items() if os.environ.get(url)]
    named = [*databases, *caches]
    left_out = [f"{name} ({url})" for name, url in (SERVERS | CACHES).items() if name not in named]
    python = [sys.executable, "-X", "dev", "-m"]
    for old in Path().glob(".coverage*"):
        old.unlink()

    failed = []
    for name, url in databases.items():
        print(f"== {name}", flush=True)
        command = [*python, "coverage", "run", "-m", "pytest", *arguments]
        if subprocess.run(command, env=os.environ | {"TEST_DATABASE_URL": url}).returncode:
            failed.append(name)
    subprocess.run([*python, "coverage", "combine", "--quiet"], check=True)
    # Part of the suite covers part of the package.
    if not arguments and subprocess.run([*python, "coverage", "report"]).returncode:
        failed.append("coverage")

    print(f"Failed: {', '.join(failed)}." if failed else f"Passed: {', '.join(named)}.")
    if left_out:
        print(f"Left out, because the environment does not name a server: {', '.join(left_out)}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
