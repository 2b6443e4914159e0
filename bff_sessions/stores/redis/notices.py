"""Notices between processes that share Redis: PUBLISH and SUBSCRIBE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bff_sessions.contract import UserSessionStoreNotices
from bff_sessions.sansio import run
from bff_sessions.stores.redis.link import Link


class RedisNotices(UserSessionStoreNotices):
    """Sends and receives notices. A Cluster brings each to all nodes."""

    _link: Link

    def send_notice(self) -> None:
        run(self._link.ask("PUBLISH", self._channel, b""))

    @contextmanager
    def listen_for_notices(self) -> Iterator[Callable[[float], bool]]:
        with self._link.subscription(self._channel) as messages:
            # The answer to SUBSCRIBE, which is not shown: from now on, no notice is lost.
            messages.get_message(timeout=self._link.options.timeout)

            def wait(seconds: float) -> bool:
                return messages.get_message(timeout=seconds) is not None

            yield wait

    @property
    def _channel(self) -> bytes:
        return f"{self._link.names.prefix}ended".encode()
