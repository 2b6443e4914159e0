"""A Redis server of the benchmark's own, which it may flush and kill."""

import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress

__all__ = ["Redis", "trouble"]


class Redis:
    """A Redis server on a free port."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory()
        self.start()

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", self._folder.name]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)

    def say(self, *words):
        command = ["redis-cli", "-p", str(self.port), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def trouble(redis, seconds):
    """Flush Redis, kill it, and restore an old snapshot, within so many seconds."""
    step = seconds / 6
    time.sleep(step)
    print("  Redis was flushed", flush=True)
    redis.say("flushall")
    time.sleep(step)
    print("  Redis was killed and restarts empty", flush=True)
    redis.kill()
    time.sleep(step / 2)
    redis.start()
    time.sleep(step / 2)
    redis.say("save")
    time.sleep(step / 4)
    print("  Redis was killed and restarts with an older snapshot", flush=True)
    redis.kill()
    redis.start()
