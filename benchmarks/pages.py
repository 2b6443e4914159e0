"""Measure open pages: statements, memory and the time until they learn of a revocation.

    python -m benchmarks.pages [--database URL] [--redis URL] [--pages 1000]

It needs uvicorn, and a database that it may fill and empty again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["main"]

_PORT = 27_100
_RESTED = 10.0  # Seconds for which nothing happens, to count statements.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="sqlite:///bench-pages.sqlite3")
    parser.add_argument("--redis", help="keep the sessions there")
    parser.add_argument("--pages", type=int, default=1_000)
    parser.add_argument("--revocations", type=int, default=200)
    parser.add_argument("--keep-threads", action="store_true", help="do not give threads back")
    parser.add_argument("--notices", action="store_true", help="with EVENTS_NOTICES")
    parser.add_argument("--every", type=float, default=1)
    options = parser.parse_args()
    given: dict[str, Any] = {"database": options.database, "keeps_threads": options.keep_threads}
    given["settings"] = {
        "EVENTS_EVERY": options.every,
        "EVENTS_NOTICES": options.notices,
        "TOKEN_REVOCATION": None,
    }
    if options.redis:
        given["settings"] |= {
            "STORE": "bff_sessions.stores.redis.RedisUserSessionStore",
            "REDIS": {"URL": options.redis, "KEY_PREFIX": "bench_pages:"},
        }
    os.environ["BENCH_PAGES"] = json.dumps(given)
    from benchmarks import pages_site as pages_site  # Sets Django up.

    with _tables(), _Server() as server:
        asyncio.run(_measure(server, options))


class _tables:
    def __enter__(self) -> None:
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def __exit__(self, *error: object) -> None:
        from bff_sessions.contract import UserSessionsFilter
        from bff_sessions.stores import get_store

        for name in ("page", "warm"):
            get_store().delete_user_sessions(UserSessionsFilter(subject_id=name))


class _Server:
    """uvicorn, with one process."""

    def __enter__(self) -> _Server:
        command = [sys.executable, "-m", "uvicorn", "benchmarks.pages_site:application"]
        command += ["--port", str(_PORT), "--log-level", "warning", "--backlog", "4096"]
        self._process = subprocess.Popen(command)
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", _PORT), timeout=1).close()
                return self
            time.sleep(0.1)

    def __exit__(self, *error: object) -> None:
        begun = time.monotonic()
        self._process.terminate()
        self._process.wait()
        print(f"The server has ended {time.monotonic() - begun:.1f} s after SIGTERM.")


def _sign_in(subject: str) -> tuple[str, str]:
    from bff_sessions.engine import SessionStore

    session = SessionStore()
    sid = secrets.token_hex(16)
    session["oidc"] = {"iss": "https://idp.example", "sub": subject, "sid": sid}
    session.save()
    assert session.session_key is not None
    return session.session_key, sid


async def _request(path: str, cookie: str = "") -> tuple[asyncio.StreamReader, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Cookie: sessionid={cookie}", "", ""]
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], head
    return reader, writer


async def _json(path: str) -> dict[str, Any]:
    reader, writer = await _request(path)
    text = await reader.readuntil(b"}")
    writer.close()
    return dict(json.loads(text[text.index(b"{") :]))  # Without the length of the chunk.


class _Page:
    def __init__(self, session_key: str, sid: str) -> None:
        self.session_key, self.sid = session_key, sid
        self.told: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        reader, self._writer = await _request("/bff/events", self.session_key)
        await reader.readuntil(b"id: ")
        self._task = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"session-ended")
            self.told.set_result(time.time())

    def close(self) -> None:
        self._task.cancel()
        self._writer.close()


async def _open(subject: str, number: int) -> list[_Page]:
    begun = await asyncio.to_thread(lambda: [_sign_in(subject) for _ in range(number)])
    pages = [_Page(*one) for one in begun]
    for start in range(0, number, 50):
        await asyncio.gather(*(page.open() for page in pages[start : start + 50]))
    return pages


async def _measure(server: _Server, options: argparse.Namespace) -> None:
    warm = await asyncio.to_thread(lambda: [_sign_in("warm") for _ in range(100)])
    for some in (warm[:50], warm[50:]):
        pages = [_Page(*one) for one in some]
        await asyncio.gather(*(page.open() for page in pages))
        for page in pages:
            page.close()
    await asyncio.sleep(3)
    before = await _json("/stats")
    pages = await _open("page", options.pages)
    await asyncio.sleep(3)
    opened = await _json("/stats")
    await asyncio.sleep(_RESTED)
    rested = await _json("/stats")

    def growth(name: str) -> float:
        return (rested.get(name, 0) - opened.get(name, 0)) / _RESTED

    print(f"{options.pages} pages, {'Redis' if options.redis else options.database}")
    print(f"  statements a second: {growth('statements'):.2f}")
    print(f"  connections a second: {growth('connections'):.2f}")
    print(f"  processor time: {growth('processor'):.3f} s a second")
    memory = (opened["memory"] - before["memory"]) / options.pages
    print(f"  memory a page: {memory:.1f} KiB; threads: {opened['threads']}")
    random.shuffle(pages)
    half = options.revocations
    for name, some, end in (
        ("another process", pages[:half], _end_here),
        ("the same process", pages[half : 2 * half], _end_there),
    ):
        _show(name, await _latencies(some, end, options.every))
    for page in pages:
        page.close()


async def _end_here(sid: str) -> float:
    from bff_sessions.contract import UserSessionsFilter
    from bff_sessions.revocation import revoke_sessions

    await asyncio.to_thread(revoke_sessions, UserSessionsFilter(session_id=sid))
    return time.time()


async def _end_there(sid: str) -> float:
    return float((await _json(f"/end?sid={sid}"))["ended"])


async def _latencies(pages: list[_Page], end: Callable[[str], Any], every: float) -> list[float]:
    found = []
    for page in pages:
        ended = await end(page.sid)
        found.append(max(0.0, await asyncio.wait_for(page.told, 10) - ended))
        # At any moment between two looks.
        await asyncio.sleep(random.uniform(0, every))
    return found


def _show(name: str, seconds: list[float]) -> None:
    seconds.sort()
    p99 = seconds[min(int(len(seconds) * 0.99), len(seconds) - 1)]
    print(
        f"  from a revocation in {name}: median {statistics.median(seconds) * 1e3:.0f} ms, "
        f"p99 {p99 * 1e3:.0f} ms, longest {seconds[-1] * 1e3:.0f} ms"
    )


if __name__ == "__main__":
    main()
