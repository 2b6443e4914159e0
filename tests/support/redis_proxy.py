"""A proxy before a server of Redis that loses answers, and clients that repeat their commands."""

import os
import socket
import socketserver
import threading

import redis
import redis.asyncio
from redis.backoff import NoBackoff

from tests.support.servers import HOST

PORT = "TEST_REDIS_PROXY"


class Proxy:
    """Hands on commands and answers, until it has handed on so many answers as it was told.

    It then loses one, and closes the connection. The server has executed the commands.
    """

    def __init__(self, server):
        self.answers = self.lost = 0
        self.lose_at = None
        self._lock = threading.Lock()
        proxy = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection((HOST, server.port)) as upstream:
                    while request := self.request.recv(1_000_000):
                        upstream.sendall(request)
                        answer = upstream.recv(1_000_000)
                        if proxy.loses():
                            break
                        self.request.sendall(answer)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Connection)
        self._server.daemon_threads = True

    def loses(self):
        """Return whether to lose the answer that has come."""
        with self._lock:
            is_lost = self.answers == self.lose_at
            self.answers += 1
            self.lost += is_lost
            return is_lost

    def lose(self, number):
        """Lose the answer with this number, counted from now on."""
        self.answers, self.lost, self.lose_at = 0, 0, number

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever).start()
        os.environ[PORT] = str(self._server.server_address[1])
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        del os.environ[PORT]


def connect(*, asynchronous):
    """Return a client that repeats a command whose answer was lost."""
    package = redis.asyncio if asynchronous else redis
    retry = package.retry.Retry(NoBackoff(), 3)
    errors = [redis.ConnectionError]
    return package.Redis(
        host=HOST, port=int(os.environ[PORT]), retry=retry, retry_on_error=errors, protocol=2
    )
