"""A Redis primary, its replicas and three sentinels, which the tests start themselves."""

from contextlib import ExitStack

from tests.support.redis_servers import HOST, RedisServer, wait_until

NAME = "sessions"
SENTINELS = 3
PERIODS = ["info-period", "ping-period", "publish-period", "ask-period"]
PERIOD = 200  # Milliseconds.


class Sentinel(RedisServer):
    """Watches a primary, and chooses another one with the other sentinels if it fails."""

    def __init__(self, primary, program, down_after):
        options = {
            f"sentinel monitor {NAME}": f"{HOST} {primary.port} {SENTINELS // 2 + 1}",
            f"sentinel down-after-milliseconds {NAME}": down_after,
            f"sentinel failover-timeout {NAME}": 10 * down_after,
        }
        super().__init__("--sentinel", program=program, **options)

    def start(self):
        super().start()
        # Otherwise it learns of replicas after 10 s, and of other sentinels after 2 s.
        self.ask("SENTINEL", "DEBUG", *(word for name in PERIODS for word in (name, PERIOD)))

    def said(self):
        """Return what it says about the primary, as a dictionary."""
        words = self.ask("SENTINEL", "MASTER", NAME)
        return dict(zip(words[::2], words[1::2], strict=True))


class Sentinels:
    """A primary and its replicas (`servers`), and the sentinels that watch them."""

    name = NAME

    def __init__(self, *, replicas=1, program="redis-server", down_after=1000):
        """Start them.

        Args:
            replicas: how many replicas the primary has.
            program: the server, a command or path.
            down_after: milliseconds until a server that does not answer counts as failed.
        """
        with ExitStack() as stack:
            start = stack.enter_context
            first = start(RedisServer(program=program))
            of = f"{HOST} {first.port}"
            others = [start(RedisServer(program=program, replicaof=of)) for _ in range(replicas)]
            self.servers = [first, *others]
            self.sentinels = [start(Sentinel(first, program, down_after)) for _ in range(SENTINELS)]
            self.wait()
            self._stack = stack.pop_all()
        self.addresses = [(HOST, sentinel.port) for sentinel in self.sentinels]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        self._stack.close()

    def primary(self):
        """Return the server that all sentinels name.

        Raises:
            ValueError: if they do not agree.
        """
        ports = {int(sentinel.said()["port"]) for sentinel in self.sentinels}
        (port,) = ports
        (server,) = (server for server in self.servers if server.port == port)
        return server

    def wait(self):
        """Wait until the sentinels agree on a primary that answers, and replicas follow it."""
        wait_until(self._serves, "the sentinels agree on a primary with its replicas")

    def _serves(self):
        primary = self.primary()
        replicas = [server for server in self.servers if server.answers and server is not primary]
        lines = [server.info("replication") for server in replicas]
        return (
            primary.answers
            and primary.info("replication")["role"] == "master"
            and all(line.get("master_port") == str(primary.port) for line in lines)
            and all(line.get("master_link_status") == "up" for line in lines)
            and all(self._knows_all(sentinel) for sentinel in self.sentinels)
        )

    def _knows_all(self, sentinel):
        said = sentinel.said()
        return (
            said["flags"] == "master"
            and int(said["num-slaves"]) == len(self.servers) - 1
            and int(said["num-other-sentinels"]) == SENTINELS - 1
        )

    def heal(self):
        """Let all servers answer, and wait until all replicas follow the primary."""
        for server in (*self.servers, *self.sentinels):
            server.heal()
        self.wait()

    def empty(self):
        """Let all servers answer, and delete all keys."""
        self.heal()
        self.primary().empty()
