"""Run the tests on SQLite, and on every server that the environment names, on all cores.

    python -m tests [--all] [--servers] [-n WORKERS] [arguments of pytest]

Without --all, tests that race, start processes, take thousands of steps, or repeat others with one
more store, caller or fault are left out, and no coverage is measured. The last lines say what was
left out and how to run it. TEST_POSTGRESQL_URL and TEST_MARIADB_URL name the servers, for example
postgres://postgres@127.0.0.1:5432/bff_sessions, and TEST_REDIS_URL a cache,
redis://127.0.0.1:6379/9; each worker takes the next number. A server that is named and cannot
be reached is a failure. With --servers, SQLite is left out, and the environment must name all
three.

On a server, only tests that use the database run (the marker `database`): all others do the same
there as on SQLite.
"""

import argparse
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", allow_abbrev=False)
    parser.add_argument("--all", action="store_true", dest="everything")
    parser.add_argument("--servers", action="store_true")
    parser.add_argument("-n", type=int, default=number_of_workers(), dest="workers")
    options, arguments = parser.parse_known_args()

    environment = SERVERS | CACHES
    absent = {name: variable for name, variable in environment.items() if not os.getenv(variable)}
    left_out = ", ".join(f"{name} ({variable})" for name, variable in absent.items())
    if options.servers and absent:
        print(f"The environment names no server: {left_out}.")
        return 1
    databases = {} if options.servers else {"SQLite": "sqlite:///tests.sqlite3"}
    databases |= {name: os.environ[SERVERS[name]] for name in SERVERS if name not in absent}
    # Part of the suite covers part of the package, and measuring takes almost as long as testing.
    measures = options.everything and not (options.servers or arguments)

    command = ["pytest", "-q", "-n", str(options.workers), "--dist", "worksteal", *arguments]
    if measures:
        command = ["coverage", "run", "-m", *command]
        for old in Path().glob(".coverage*"):
            old.unlink()
    if not options.everything:
        command += ["--hypothesis-profile", "quick"]
    failed = []
    for name, url in databases.items():
        print(f"Testing on {name}.", flush=True)
        markers = [] if options.everything else [f"not {marker}" for marker in SLOW]
        if name in SERVERS:
            markers.append("database")
        if run(*command, "-m", " and ".join(markers), TEST_DATABASE_URL=url):
            failed.append(name)
    if measures and (run("coverage", "combine", "--quiet") or run("coverage", "report")):
        failed.append("coverage")

    passed = [*databases, *(name for name in CACHES if name not in absent)]
    print(f"Failed: {', '.join(failed)}." if failed else f"Passed: {', '.join(passed)}.")
    if not options.everything:
        print(
            f"Left out: tests marked {', '.join(SLOW)}, and coverage. "
            "`python -m tests --all` runs them."
        )
    if absent:
        print(f"Left out, because the environment names no server: {left_out}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
