"""Run the tests on SQLite, and on every server that the environment names, on all cores.

    python -m tests [--all] [--servers] [arguments of pytest]

Without --all, tests that race or start processes are left out. The last lines say what was left
out and how to run it. TEST_POSTGRESQL_URL and TEST_MARIADB_URL name the servers, for example
postgres://postgres@127.0.0.1:5432/bff_sessions, and TEST_REDIS_URL a cache,
redis://127.0.0.1:6379/9; each worker takes the next number. A server that is named and cannot be
reached is a failure. With --servers, SQLite is left out and all three must be named.

On a server, only tests that use the database run (the marker `database`): all others do the same
there as on SQLite.
"""

import os
import subprocess
import sys
from pathlib import Path

SERVERS = {"PostgreSQL": "TEST_POSTGRESQL_URL", "MariaDB": "TEST_MARIADB_URL"}
CACHES = {"Redis": "TEST_REDIS_URL"}
SLOW = ["race", "processes", "thorough"]
# Redis has 16 numbers unless it is configured otherwise.
REDIS_NUMBERS = 16


def run(*command: str, **environment: str) -> int:
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, env=os.environ | environment).returncode


def number_of_workers() -> int:
    workers = os.cpu_count() or 1
    if url := os.environ.get("TEST_REDIS_URL"):
        workers = min(workers, REDIS_NUMBERS - int(url.rpartition("/")[2]))
    return workers


def main(arguments: list[str]) -> int:
    everything, only_servers = (option in arguments for option in ("--all", "--servers"))
    arguments = [each for each in arguments if each not in ("--all", "--servers")]
    named = {name: os.environ[url] for name, url in SERVERS.items() if os.environ.get(url)}
    caches = [name for name, url in CACHES.items() if os.environ.get(url)]
    absent = [
        f"{name} ({url})" for name, url in (SERVERS | CACHES).items() if name not in [*named, *caches]
    ]
    if only_servers and absent:
        print(f"The environment does not name: {', '.join(absent)}.")
        return 1
    databases = named if only_servers else {"SQLite": "sqlite:///tests.sqlite3"} | named

    for old in Path().glob(".coverage*"):
        old.unlink()
    failed = []
    for name, url in databases.items():
        print(f"Testing on {name}.", flush=True)
        markers = [] if everything else [f"not {marker}" for marker in SLOW]
        if name in SERVERS:
            markers.append("database")
        code = run(
            *("coverage", "run", "-m", "pytest", "-q", "-m", " and ".join(markers)),
            *("-n", str(number_of_workers()), "--dist", "worksteal", *arguments),
            TEST_DATABASE_URL=url,
        )
        if code:
            failed.append(name)
    run("coverage", "combine", "--quiet")
    # Part of the suite covers part of the package.
    if not (arguments or only_servers) and run("coverage", "report"):
        failed.append("coverage")

    passed = [*databases, *caches]
    print(f"Failed: {', '.join(failed)}." if failed else f"Passed: {', '.join(passed)}.")
    if not everything:
        print("Left out: tests that race or start processes; `python -m tests --all` runs them.")
    if absent:
        print(f"Left out, because the environment names no server: {', '.join(absent)}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
