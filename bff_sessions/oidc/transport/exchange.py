"""Run one HTTP exchange with a provider, and end it in time.

A socket's timeout bounds one wait, and an exchange has many: for a name server, for each of several
addresses, for a proxy, for each piece of a header or a body. The exchange therefore runs in a
separate thread, and the caller waits for that thread until its time limit.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.extras import extra

with extra("oidc"):
    from requests.adapters import HTTPAdapter
    from requests.exceptions import SSLError

_T = TypeVar("_T")


def run_in_time(exchange: Callable[[HTTPAdapter], _T], seconds: float) -> _T:
    """Return what `exchange` returns within `seconds`.

    Args:
        exchange: sends its request through the adapter that it is called with.

    Raises:
        ProviderUnavailable: if it takes longer, or raises an error. The original error and its
            traceback show the URL and the request's data; this one does not.
    """
    adapter = _Adapter()
    outcomes = SimpleQueue[tuple[_T] | str]()

    def run() -> None:
        # No error may leave the thread: a report of it would show the request's data.
        try:
            with closing(adapter):
                outcomes.put((exchange(adapter),))
        except ProviderUnavailable as error:
            outcomes.put(str(error))
        except Exception as error:
            outcomes.put(f"The provider cannot be reached: {_explain(error)}")

    reason: str
    try:
        # A daemon thread, because the interpreter waits at exit for a ThreadPoolExecutor's threads.
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


def _explain(error: Exception) -> str:
    """Return the class of `error` and of its reason. Its text would show the URL."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    because = f" ({type(reason).__name__})" if isinstance(reason, Exception) else ""
    advice = " Does the port use TLS, and does this host trust the certificate?"
    is_tls = isinstance(error, SSLError)
    return f"{type(error).__name__}{because}.{advice if is_tls else ''}"


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
                watch(lambda: self.sock)  # A proxy or TLS replaces it.
                super().connect()
                sock = self.sock
                # The connection forgets its socket when an answer begins that closes it.
                watch(lambda: sock)

        pool.ConnectionCls = Connection
        return pool

    def cut(self) -> None:
        """End every wait for a socket, and let no more data be sent."""
        with self._lock:
            self._is_cut = True
            for get_socket in self._sockets:
                sock = get_socket()
                if isinstance(sock, socket.socket):
                    with suppress(OSError):
                        # SSLSocket.shutdown() would remove TLS first, and the other thread could
                        # then send in clear text.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _watch(self, get_socket: Callable[[], object]) -> None:
        with self._lock:
            # A refresh token that is sent after the caller gave up would be lost.
            if self._is_cut:
                raise TimeoutError("The exchange took too long.")
            self._sockets.append(get_socket)
