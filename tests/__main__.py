"""Run the tests on SQLite, and on every server that the environment names, on all cores.

    python -m tests [--all] [--coverage] [--servers] [-n WORKERS] [arguments of pytest]

Without --all, tests that race, start processes, take thousands of steps, or repeat others with one
more store, caller or fault are left out. The last lines say what was left out and how to run it.
With --coverage, less than is asked for in setup.cfg is a failure.

TEST_POSTGRESQL_URL and TEST_MARIADB_URL name the servers, for example
postgres://postgres@127.0.0.1:5432/bff_sessions, and TEST_REDIS_URL a cache,
redis://127.0.0.1:6379/9; each worker takes the next number. A server that is named and cannot
be reached is a failure. With --servers, SQLite is left out, the environment must name all three,
both databases are tested at the same time, and races and processes are not left out.

On a server, only tests that use the database run (the marker `database`): all others do the same
there as on SQLite.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SERVERS = {"PostgreSQL": "TEST_POSTGRESQL_URL", "MariaDB": "TEST_MARIADB_URL"}
CACHES = {"Redis": "TEST_REDIS_URL"}
SLOW = ["race", "processes", "thorough"]
# Redis has 16 numbers unless it is configured otherwise.
REDIS_NUMBERS = 16


def run(*command: str, **environment: str) -> int:
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, env=os.environ | environment).returncode


def run_at_once(
    commands: dict[str, tuple[str, ...]], urls: dict[str, str], workers: int
) -> list[str]:
    """Run a command for each database, show the output of each as a whole, and return failures."""

    def run_quietly(name: str) -> int:
        environment = os.environ | {"TEST_DATABASE_URL": urls[name]}
        # Tests empty the cache, so that no two workers may have the same number.
        redis, _, number = environment["TEST_REDIS_URL"].rpartition("/")
        number = int(number) + workers * list(commands).index(name)
        environment["TEST_REDIS_URL"] = f"{redis}/{number}"
        done = subprocess.run(
            (sys.executable, "-m", *commands[name]),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(f"== {name}\n{done.stdout}", flush=True)
        return done.returncode

    with ThreadPoolExecutor() as pool:
        codes = dict(zip(commands, pool.map(run_quietly, commands), strict=True))
    return [name for name, code in codes.items() if code]


def number_of_workers(databases: int) -> int:
    workers = os.cpu_count() or 1
    if url := os.environ.get("TEST_REDIS_URL"):
        workers = min(workers, (REDIS_NUMBERS - int(url.rpartition("/")[2])) // databases)
    return workers


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", allow_abbrev=False)
    parser.add_argument("--all", action="store_true", dest="everything")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--servers", action="store_true")
    parser.add_argument("-n", type=int, dest="workers")
    options, arguments = parser.parse_known_args()

    environment = SERVERS | CACHES
    absent = {name: variable for name, variable in environment.items() if not os.getenv(variable)}
    left_out = ", ".join(f"{name} ({variable})" for name, variable in absent.items())
    if options.servers and absent:
        print(f"The environment names no server: {left_out}.")
        return 1
    databases = {} if options.servers else {"SQLite": "sqlite:///tests.sqlite3"}
    databases |= {name: os.environ[SERVERS[name]] for name in SERVERS if name not in absent}
    workers = options.workers
    if workers is None:
        workers = number_of_workers(len(databases) if options.servers else 1)

    command = ["pytest", "-q", "-n", str(workers), "--dist", "worksteal", *arguments]
    if options.coverage:
        command = ["coverage", "run", "-m", *command]
        for old in Path().glob(".coverage*"):
            old.unlink()
    if not options.everything:
        command += ["--hypothesis-profile", "quick"]
    # Races and processes differ most from server to server.
    slow = ["thorough"] if options.servers else SLOW
    commands = {}
    for name in databases:
        markers = [] if options.everything else [f"not {marker}" for marker in slow]
        if name in SERVERS:
            markers.append("database")
        commands[name] = (*command, "-m", " and ".join(markers))
    if options.servers:
        print(f"Testing on {' and '.join(databases)}.", flush=True)
        failed = run_at_once(commands, databases, workers)
    else:
        failed = []
        for name, url in databases.items():
            print(f"Testing on {name}.", flush=True)
            if run(*commands[name], TEST_DATABASE_URL=url):
                failed.append(name)
    if options.coverage and (run("coverage", "combine", "--quiet") or run("coverage", "report")):
        failed.append("coverage")

    passed = [*databases, *(name for name in CACHES if name not in absent)]
    print(f"Failed: {', '.join(failed)}." if failed else f"Passed: {', '.join(passed)}.")
    if not options.everything:
        print(f"Left out: tests marked {', '.join(slow)}. `python -m tests --all` runs them.")
    if absent:
        print(f"Left out, because the environment names no server: {left_out}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
