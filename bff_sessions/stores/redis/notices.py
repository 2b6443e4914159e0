"""Notices between processes that share Redis: PUBLISH and SUBSCRIBE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bff_sessions.sansio import run
from bff_sessions.stores.redis.link import Link


def send(link: Link) -> None:
    """Publish a notice. A Cluster brings it to all nodes."""
    run(link.ask("PUBLISH", _channel(link), b""))


@contextmanager
def listen(link: Link) -> Iterator[Callable[[float], bool]]:
    """See UserSessionStoreNotices.listen_for_notices()."""
    with link.subscription(_channel(link)) as subscription:

        def wait(seconds: float) -> bool:
            return subscription.get_message(timeout=seconds) is not None

        yield wait


def _channel(link: Link) -> bytes:
    return f"{link.names.prefix}ended".encode()
