"""A MariaDB Galera Cluster that the tests start themselves: three nodes that all take writes."""

from contextlib import ExitStack

import MySQLdb

from tests.support.servers import HOST, Server, free_port, wait_until

NODES = 3
DATABASE = "bff_sessions"
PROVIDER = "/usr/lib/galera/libgalera_smm.so"


def database_of(port):
    """Return the entry of a node in settings.DATABASES."""
    return {
        "ENGINE": "django.db.backends.mysql",
        "HOST": HOST,
        "PORT": str(port),
        "USER": "root",
        "NAME": DATABASE,
        "OPTIONS": {"charset": "utf8mb4"},
    }


class Node(Server):
    """One node. It begins with a copy of the data of another one that has ended, or with none."""

    program = "mariadbd"
    user = "mysql"

    def __init__(self, copy_of=None, **options):
        super().__init__()
        self.replication_port = free_port()
        self.address = f"{HOST}:{self.replication_port}"
        self._ports = free_port(), free_port()
        self._options = options
        self.cluster = ""
        data = self._in_folder("data")
        if copy_of is None:
            self._run(
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-name-resolve",
                "--skip-test-db",
                "--innodb-log-file-size=16M",
            )
        else:
            # As the user of the servers, to whom the copy then belongs.
            self._run("cp", "-r", str(copy_of._in_folder("data")), str(data))

    def _arguments(self):
        increments, whole = self._ports
        provider = {
            "gmcast.listen_addr": f"tcp://{self.address}",
            "ist.recv_addr": f"{HOST}:{increments}",
            "gcache.size": "16M",
        }
        options = {
            "datadir": self._in_folder("data"),
            "socket": self._in_folder("socket"),
            "pid-file": self._in_folder("pid"),
            "bind-address": HOST,
            "port": self.port,
            "innodb-buffer-pool-size": "64M",
            "innodb-log-file-size": "16M",
            "innodb-flush-log-at-trx-commit": 1,
            # What Galera needs.
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": 2,
            "wsrep-on": "ON",
            "wsrep-provider": PROVIDER,
            "wsrep-provider-options": ";".join(map("=".join, provider.items())),
            "wsrep-cluster-name": "tests",
            "wsrep-cluster-address": f"gcomm://{self.cluster}",
            "wsrep-node-address": self.address,
            "wsrep-sst-method": "rsync",
            "wsrep-sst-receive-address": f"{HOST}:{whole}",
        } | self._options
        return (
            "--no-defaults",
            "--skip-name-resolve",
            *(f"--{name}={value}" for name, value in options.items()),
        )

    def is_ready(self):
        try:
            return self.status("wsrep_local_state_comment") == "Synced"
        except MySQLdb.Error:
            return False

    def status(self, name):
        """Return a status variable, for example wsrep_cluster_size."""
        ((_, value),) = self.ask(f"SHOW STATUS LIKE '{name}'")
        return value

    def ask(self, statement):
        """Run a statement in a connection of its own, and return the rows."""
        connection = MySQLdb.connect(host=HOST, port=self.port, user="root", connect_timeout=2)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def shut_down(self):
        """Let it save all, and end."""
        self.ask("SHUTDOWN")
        wait_until(lambda: not self._in_folder("pid").exists(), f"{self} has ended")
        self.kill()


class GaleraCluster:
    """Three nodes with one database."""

    def __init__(self, **options):
        """Start it.

        A node that knows no state copies the data of another one, one node after the other. These
        nodes begin with the state of a cluster that has ended, so that they only have to agree.

        Args:
            options: of mariadbd.
        """
        with ExitStack() as stack:
            with Node() as first:
                first.start("--wsrep-new-cluster")
                first.ask(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
                first.shut_down()
                self.nodes = [
                    stack.enter_context(Node(copy_of=first, **options)) for _ in range(NODES)
                ]
            for node in self.nodes:
                node.cluster = ",".join(other.address for other in self.nodes)
            # The others would look for it, in pauses of a second.
            self.nodes[0].start("--wsrep-new-cluster")
            for node in self.nodes[1:]:
                node.launch()
            for node in self.nodes[1:]:
                node.wait()
            wait_until(self._is_whole, f"{NODES} nodes agree")
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    def _is_whole(self):
        return all(
            node.is_ready() and node.status("wsrep_cluster_size") == str(NODES)
            for node in self.nodes
        )
