"""Run the whole test-suite: on SQLite, and on every server that the environment names.

    python -m tests [arguments of pytest]

TEST_POSTGRESQL_URL and TEST_MARIADB_URL name the servers, for example
postgres://postgres@127.0.0.1:5432/bff_sessions, and TEST_REDIS_URL a cache,
redis://127.0.0.1:6379/9. One that is named and cannot be reached is a failure; what is not named
is left out, and the last line says so. Several databases are tested at the same time.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SERVERS = {"PostgreSQL": "TEST_POSTGRESQL_URL", "MariaDB": "TEST_MARIADB_URL"}
CACHES = {"Redis": "TEST_REDIS_URL"}
PYTHON = [sys.executable, "-X", "dev", "-m"]


def main(arguments: list[str]) -> int:
    databases = {"SQLite": "sqlite:///tests.sqlite3"}
    databases |= {name: os.environ[url] for name, url in SERVERS.items() if os.environ.get(url)}
    caches = [name for name, url in CACHES.items() if os.environ.get(url)]
    named = [*databases, *caches]
    left_out = [f"{name} ({url})" for name, url in (SERVERS | CACHES).items() if name not in named]
    for old in Path().glob(".coverage*"):
        old.unlink()

    def test(name: str) -> int:
        environment = os.environ | {"TEST_DATABASE_URL": databases[name]}
        for cache in caches:
            # The tests empty the cache: each database has its own number.
            url, _, number = environment[CACHES[cache]].rpartition("/")
            environment[CACHES[cache]] = f"{url}/{int(number) + list(databases).index(name)}"
        command = [*PYTHON, "coverage", "run", "-m", "pytest", *arguments]
        if len(databases) == 1:
            return subprocess.run(command, env=environment).returncode
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        print(f"== {name}\n{done.stdout}", flush=True)
        return done.returncode

    print(f"Testing on {', '.join(databases)}.", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = dict(zip(databases, pool.map(test, databases), strict=True))
    failed = [name for name, code in codes.items() if code]
    subprocess.run([*PYTHON, "coverage", "combine", "--quiet"], check=True)
    # Part of the suite covers part of the package.
    if not arguments and subprocess.run([*PYTHON, "coverage", "report"]).returncode:
        failed.append("coverage")

    print(f"Failed: {', '.join(failed)}." if failed else f"Passed: {', '.join(named)}.")
    if left_out:
        print(f"Left out, because the environment does not name a server: {', '.join(left_out)}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
