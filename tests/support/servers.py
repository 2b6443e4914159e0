"""Servers that the tests start themselves, on free ports of this machine."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from tempfile import TemporaryDirectory

HOST = "127.0.0.1"
PATIENCE = 30  # Seconds until a server answers, or servers agree.
# Below those that the system gives to clients. A client that connects to a server which was
# killed could get the port of that server for its own end, and then talk to itself.
PORTS = range(15_000, 32_000)

# Prints the server's process ID, and ends the server when the input closes. That happens however
# the tests end, also if they are killed. The shell reaps the server only then, so that no other
# process gets its ID before.
WATCH = '"$@" >>log 2>&1 & echo $!; read _; kill -{} $! 2>>log; wait'


class Server:
    """One server, and its port and folder until stop()."""

    program: str
    """A command or path."""
    user = None
    """Who runs it if root runs the tests; None for root itself."""
    end_signal = "KILL"

    def __init__(self):
        self.port = free_port()
        self.answers = False
        self._watch = None
        self._folder = TemporaryDirectory(prefix=f"{type(self).__name__.lower()}-")
        if self._changes_user():
            shutil.chown(self._folder.name, self.user, self.user)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def __repr__(self):
        return f"{type(self).__name__}({self.port})"

    def _changes_user(self):
        return self.user is not None and os.geteuid() == 0

    def _as_user(self, *command):
        """Return a command that runs another one as the user of the server."""
        if not self._changes_user():
            return command
        return "setpriv", "--reuid", self.user, "--regid", self.user, "--clear-groups", *command

    def _run(self, *command):
        """Run a command in the folder, as the user of the server, until it ends."""
        done = subprocess.run(
            self._as_user(*command), cwd=self._folder.name, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def _in_folder(self, name):
        return Path(self._folder.name, name)

    def _arguments(self):
        """Return the arguments with which the program starts in the folder."""
        raise NotImplementedError

    def is_ready(self):
        """Return whether it answers."""
        raise NotImplementedError

    def start(self, *arguments):
        """Start it, and wait until it answers."""
        self.launch(*arguments)
        self.wait()

    def launch(self, *arguments):
        """Start it."""
        watch = WATCH.format(self.end_signal)
        command = self._as_user(self.program, *self._arguments(), *arguments)
        self._watch = subprocess.Popen(
            ["sh", "-c", watch, "sh", *command],
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Control-C interrupts the tests, which stop their servers then.
            start_new_session=True,
        )
        self.process_id = int(self._watch.stdout.readline())

    def wait(self):
        """Wait until it answers. If it does not, stop it and show its log."""
        try:
            wait_until(self.is_ready, f"{self} answers")
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
