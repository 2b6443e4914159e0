"""PostgreSQL servers that the tests start themselves, one alone or a primary with a standby."""

import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGKILL, SIGSTOP
from subprocess import run

import psycopg

from tests.support.servers import HOST, Server, wait_until

DATABASE = "bff_sessions"
# Debian keeps them beside those of other versions, outside the path.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def find_program(name):
    """Return the path of a program of PostgreSQL, or None."""
    return shutil.which(name, path=os.pathsep.join([*map(str, FOLDERS[-1:]), os.environ["PATH"]]))


class PostgreSQLServer(Server):
    """One server. It begins with a database, or as the standby of another server."""

    user = "postgres"
    # Ends it at once without saving, but lets it give back its shared memory.
    end_signal = "QUIT"

    def __init__(self, standby_of=None):
        super().__init__()
        self.program = find_program("postgres")
        data = str(self._in_folder("data"))
        if standby_of is None:
            self._run(
                find_program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"
            )
        else:
            source = f"host={HOST} port={standby_of.port} user=postgres"
            # -R lets it follow the other one.
            backup = find_program("pg_basebackup")
            self._run(backup, "-d", source, "-D", data, "-R", "-c", "fast", "--no-sync")
        self.start()
        if standby_of is None:
            self.ask(f"CREATE DATABASE {DATABASE}", database="postgres")

    def _arguments(self):
        options = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",
            "max_connections": 40,
            "shared_buffers": "32MB",
        }
        return (
            "-D",
            self._in_folder("data"),
            *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
        )

    def is_ready(self):
        try:
            return self.ask("SELECT true", database="postgres") == [(True,)]
        except psycopg.Error:
            return False

    def ask(self, statement, database=DATABASE):
        """Run a statement in a connection of its own, and return the rows."""
        address = f"host={HOST} port={self.port} user=postgres dbname={database} connect_timeout=2"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def crash(self):
        """Kill all its processes at the same moment, as if the machine lost its power."""
        os.kill(self.process_id, SIGSTOP)  # It starts no more.
        every = [self.process_id, *self._children()]
        for cause in (SIGSTOP, SIGKILL):
            for process_id in every:
                with suppress(ProcessLookupError):
                    os.kill(process_id, cause)
        self.kill()
        # The seventh line has key and ID of shared memory, which nobody else removes.
        lines = self._in_folder("data/postmaster.pid").read_text().splitlines()
        run(["ipcrm", "-m", lines[6].split()[1]], check=True)

    def _children(self):
        children = Path(f"/proc/{self.process_id}/task/{self.process_id}/children")
        return map(int, children.read_text().split())

    def stop_sending(self):
        """Let standbys receive nothing more until the server has ended."""
        for process_id in self._children():
            if b"walsender" in Path(f"/proc/{process_id}/cmdline").read_bytes():
                os.kill(process_id, SIGSTOP)


class PostgreSQLPair:
    """A primary with a standby."""

    def __init__(self, *, synchronous):
        """Start them.

        Args:
            synchronous: the primary confirms a commit when the standby has saved it.
        """
        with ExitStack() as stack:
            self.primary = stack.enter_context(PostgreSQLServer())
            self.standby = stack.enter_context(PostgreSQLServer(standby_of=self.primary))
            if synchronous:
                self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
                self.primary.ask("SELECT pg_reload_conf()")
            state = "sync" if synchronous else "async"
            wait_until(lambda: self._state() == state, f"the standby is {state}")
            self._stack = stack.pop_all()

    def _state(self):
        rows = self.primary.ask("SELECT sync_state FROM pg_stat_replication")
        return rows[0][0] if rows else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    def fail_over(self):
        """Let the primary crash, and the standby take its place."""
        self.primary.crash()
        self.standby.ask("SELECT pg_promote()")

    def database(self, **options):
        """Return the entry of both in settings.DATABASES: libpq finds the one that writes."""
        servers = self.primary, self.standby
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": ",".join(HOST for _ in servers),
            "PORT": ",".join(str(server.port) for server in servers),
            "USER": "postgres",
            "NAME": DATABASE,
            "OPTIONS": {"target_session_attrs": "read-write", **options},
        }
