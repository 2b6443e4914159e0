"""Compare the memory of a session in Redis, with its hints, to that of contrib's cache engine.

    python -m benchmarks.redis_memory [--sessions N]

Each measurement starts a Redis server of its own. The sessions are those of the other benchmarks.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from multiprocessing import get_context

from benchmarks.engines import CACHE, ENGINES, REDIS
from benchmarks.worker import set_up
from tests.support.redis_servers import RedisServer

__all__ = ["main"]

_BATCH = 500
_WIDTHS = "{:20}{:>18}{:>18}{:>14}"


def main(arguments: Sequence[str]) -> None:
    """Print a row for each engine and number of sessions that one user has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_memory")
    parser.add_argument("--sessions", type=int, default=100_000, metavar="N")
    number = parser.parse_args(arguments).sessions
    print(_WIDTHS.format("", "sessions a user", "bytes a session", "names"))
    for engine, of_user in (CACHE, 1), (REDIS, 1), (REDIS, 10):
        with RedisServer() as server:
            os.environ["TEST_REDIS_URL"] = server.url
            before = int(server.info("memory")["used_memory"])
            process = get_context("spawn").Process(target=_fill, args=(engine, number, of_user))
            process.start()
            process.join()
            used = int(server.info("memory")["used_memory"]) - before
            names = server.ask("DBSIZE")
            print(_WIDTHS.format(engine, of_user, round(used / number), names), flush=True)


def _fill(engine: str, number: int, of_user: int) -> None:
    set_up(engine, "sqlite://:memory:", "memory")
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.utils import timezone

    from benchmarks.contents import DatedSession, text, tokens, user_data
    from benchmarks.redis_rows import add

    # Names as long as those of a project.
    del settings.BFF_SESSIONS["REDIS"]["KEY_PREFIX"], settings.CACHES["default"]["KEY_PREFIX"]
    now = timezone.now()
    expires = now + timedelta(seconds=settings.SESSION_COOKIE_AGE)
    for start in range(0, number, _BATCH):
        users = [User(pk=1 + n // of_user, password="!") for n in range(start, start + _BATCH)]
        data = [user_data(user) | tokens() for user in users]
        add(ENGINES[engine], [DatedSession(text(32), each, now, expires) for each in data], 0)


if __name__ == "__main__":
    main(sys.argv[1:])
