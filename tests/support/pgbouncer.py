"""A PgBouncer that the tests start themselves, in front of a PostgreSQL server."""

import psycopg

from tests.support.servers import HOST, Server


class PgBouncer(Server):
    """Pools connections in transaction mode: each transaction may get another connection."""

    program = "pgbouncer"
    user = "postgres"

    def __init__(self, server):
        """Start it in front of a `PostgreSQLServer`."""
        super().__init__()
        self._in_folder("users.txt").write_text('"postgres" ""\n')
        self._in_folder("pgbouncer.ini").write_text(
            f"[databases]\n* = host={HOST} port={server.port}\n"
            f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {self.port}\n"
            "unix_socket_dir =\nauth_type = trust\nauth_file = users.txt\n"
            "admin_users = postgres\npool_mode = transaction\ndefault_pool_size = 5\n"
            # The tests ask for synchronous_commit=off, which is only for speed.
            "ignore_startup_parameters = options\n"
        )
        self.url = f"postgres://postgres@{HOST}:{self.port}/bff_sessions"
        self.start()

    def _arguments(self):
        return ("pgbouncer.ini",)

    def is_ready(self):
        return self.ask("SHOW VERSION")[0][0].startswith("PgBouncer")

    def ask(self, command):
        """Run a command of its console."""
        address = f"host={HOST} port={self.port} user=postgres dbname=pgbouncer connect_timeout=2"
        try:
            with psycopg.connect(address, autocommit=True) as connection:
                # The console speaks only the simple protocol.
                cursor = psycopg.ClientCursor(connection)
                return cursor.execute(command).fetchall()
        except psycopg.OperationalError as error:
            raise ConnectionError from error
