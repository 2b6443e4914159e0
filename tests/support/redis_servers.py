"""Redis and Valkey servers that the tests start themselves."""

import socket

from tests.support.servers import HOST, Server, free_port, wait_until

__all__ = ["HOST", "RedisServer", "free_port", "wait_until"]

OPTIONS = {
    "save": '""',
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    # Copies to a new replica at once, instead of waiting for others.
    "repl-diskless-sync-delay": 0,
}


class RedisServer(Server):
    """One server. What it was not told to SAVE ends with its process."""

    def __init__(self, *arguments, program="redis-server", **options):
        super().__init__()
        self.program = program
        self.url = f"redis://{HOST}:{self.port}/0"
        options = OPTIONS | {"bind": HOST, "port": self.port} | options
        # Sentinel needs a file, as it writes to it.
        lines = [f"{name.replace('_', '-')} {value}\n" for name, value in options.items()]
        self._in_folder("server.conf").write_text("".join(lines))
        self._options = arguments
        self.start()

    def _arguments(self):
        return "server.conf", *self._options

    def is_ready(self):
        return self.ask("PING") == "PONG"

    def empty(self):
        self.heal()
        self.ask("FLUSHALL")

    def ask(self, *words, timeout=5):
        """Return the answer to one command: text, None or a list.

        Raises:
            OSError: if the server does not answer.
            ValueError: if it answers with an error.
        """
        (answer,) = self.ask_all(words, timeout=timeout)
        return answer

    def ask_all(self, *commands, timeout=5):
        """Return the answers to commands on one connection, as WAIT needs it; see ask()."""
        with socket.create_connection((HOST, self.port), timeout) as connection:
            connection.sendall(b"".join(map(packed, commands)))
            with connection.makefile("rb") as answers:
                return [read_answer(answers) for _ in commands]

    def info(self, section):
        """Return what INFO says of one section, as a dictionary."""
        lines = self.ask("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def packed(words):
    words = [str(word).encode(errors="surrogateescape") for word in words]
    bulks = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%s" % (len(words), b"".join(bulks))


def read_answer(answers):
    line = answers.readline()
    if not line:
        raise ConnectionError("The server closed the connection.")
    kind, rest = line[:1], line[1:].decode().rstrip()
    if kind == b"-":
        raise ValueError(rest)
    if kind == b"*":
        return [read_answer(answers) for _ in range(int(rest))]
    if kind != b"$":
        return rest
    return None if rest == "-1" else answers.read(int(rest) + 2)[:-2].decode()
