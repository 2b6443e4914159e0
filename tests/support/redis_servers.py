"""Redis and Valkey servers that the tests start themselves, on free ports of this machine."""

import os
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from tempfile import TemporaryDirectory

HOST = "127.0.0.1"
OPTIONS = {
    "save": '""',
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    # Copies to a new replica at once, instead of waiting for others.
    "repl-diskless-sync-delay": 0,
}
PATIENCE = 30  # Seconds until a server answers, or servers agree.
# Below those that the system gives to clients: a client that connects to a killed server could
# get that server's port for its own end of the connection, and be connected to itself.
PORTS = range(15_000, 32_000)

# Prints the server's process ID, and kills the server when the input closes. That happens however
# the tests end, also if they are killed. The shell reaps the server only then, so that no other
# process gets its ID before.
WATCH = '"$@" >>log 2>&1 & echo $!; read _; kill -KILL $!; wait'


class RedisServer:
    """One server, and its port until stop(). What it was not told to SAVE ends with its process."""

    def __init__(self, *arguments, program="redis-server", **options):
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self.answers = False
        self._watch = None
        self._folder = TemporaryDirectory(prefix="redis-")
        options = OPTIONS | {"bind": HOST, "port": self.port} | options
        # Sentinel needs a file, as it writes to it.
        lines = [f"{name.replace('_', '-')} {value}\n" for name, value in options.items()]
        self._in_folder("server.conf").write_text("".join(lines))
        self._command = ["sh", "-c", WATCH, "sh", program, "server.conf", *arguments]
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def __repr__(self):
        return f"{type(self).__name__}({self.port})"

    def _in_folder(self, name):
        return Path(self._folder.name, name)

    def start(self):
        """Start it, and wait until it answers."""
        self._watch = subprocess.Popen(
            self._command,
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Control-C interrupts the tests, which stop their servers then.
            start_new_session=True,
        )
        self.process_id = int(self._watch.stdout.readline())
        try:
            wait_until(lambda: self.ask("PING") == "PONG", f"{self} answers")
        except TimeoutError as error:
            error.add_note(self._in_folder("log").read_text())
            self.stop()
            raise
        self.answers = True

    def kill(self):
        """End the process as a crash does: it can neither save nor tell anything."""
        if self._watch is not None:
            self._watch.communicate()
        self._watch, self.answers = None, False

    def restart(self):
        self.kill()
        self.start()

    def stop(self):
        """End the process for good."""
        self.kill()
        self._folder.cleanup()

    def pause(self):
        """Let the process stand still: it answers nothing, and its connections stay open."""
        os.kill(self.process_id, SIGSTOP)
        self.answers = False

    def resume(self):
        os.kill(self.process_id, SIGCONT)
        self.answers = True

    def heal(self):
        """Let it answer, whatever happened to it."""
        if self._watch is None:
            self.start()
        elif not self.answers:
            self.resume()

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
    words = [str(word).encode() for word in words]
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


def free_port():
    """Return a port at random: pytest-randomly gives each worker of pytest-xdist the same seed."""
    while True:
        port = secrets.choice(PORTS)
        with suppress(OSError), socket.create_server((HOST, port)):
            return port


def wait_until(is_so, what, seconds=PATIENCE):
    """Wait for `is_so()`, which counts as not so if a server does not answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, ValueError):
            if is_so():
                return
        time.sleep(0.02)
    raise TimeoutError(f"Waited {seconds} s until {what}.")
