"""One exchange with a provider that ends in time, whatever the provider does.

A socket's timeout bounds one wait, and an exchange has any number of waits: for a name server, each
of several addresses, a proxy, each piece of a header or a body. So the exchange runs in a thread of
its own, and its caller waits for the thread no longer than it has time.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from requests.adapters import HTTPAdapter

from bff_sessions.exceptions import ProviderUnavailable

__all__ = ["run_in_time"]

_T = TypeVar("_T")


def run_in_time(exchange: Callable[[HTTPAdapter], _T], seconds: float) -> _T:
    """Return what `exchange` returns within `seconds`.

    Args:
        exchange: sends its request through the adapter that it is called with.

    Raises:
        ProviderUnavailable: if it takes longer, or raises anything. The error holds neither the
            address nor what was sent, which the original error and its traceback do.
    """
    adapter = _Adapter()
    outcomes = SimpleQueue[tuple[_T] | str]()

    def run() -> None:
        # Nothing may leave the thread: a report of it would show what was sent.
        try:
            with closing(adapter):
                outcomes.put((exchange(adapter),))
        except ProviderUnavailable as error:
            outcomes.put(str(error))
        except Exception as error:
            outcomes.put(f"The provider cannot be reached: {type(error).__name__}.")

    reason: str
    try:
        # A daemon, and no ThreadPoolExecutor: the interpreter's exit would wait for its threads.
        threading.Thread(target=run, name="bff_sessions exchange", daemon=True).start()
        outcome = outcomes.get(timeout=seconds)
    except Empty:
        adapter.cut()
        reason = "The provider answers too slowly."
    except RuntimeError:
        reason = "The provider cannot be asked: no thread can be started."
    else:
        if isinstance(outcome, tuple):
            return outcome[0]
        reason = outcome
    raise ProviderUnavailable(reason)


class _Adapter(HTTPAdapter):
    """Opens the connections of one exchange, which another thread can cut."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._sockets: list[Callable[[], object]] = []
        self._is_cut = False

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        watch, kind = self._watch, pool.ConnectionCls

        class Connection(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                watch(lambda: self.sock)  # Which changes, by way of a proxy or to TLS.
                super().connect()
                sock = self.sock
                # The connection drops its socket once an answer has begun that ends with it.
                watch(lambda: sock)

        pool.ConnectionCls = Connection
        return pool

    def cut(self) -> None:
        """Let every wait for a socket end, and nothing more be sent."""
        with self._lock:
            self._is_cut = True
            for get_socket in self._sockets:
                sock = get_socket()
                if isinstance(sock, socket.socket):
                    with suppress(OSError):
                        # Not its own shutdown(): that of an SSLSocket takes TLS away first, and
                        # what the other thread sends in between would be in clear text.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _watch(self, get_socket: Callable[[], object]) -> None:
        with self._lock:
            # A refresh token that is sent when nobody waits for the answer would be lost.
            if self._is_cut:
                raise TimeoutError("The exchange took too long.")
            self._sockets.append(get_socket)
