"""Threads that work on the nodes of a cluster. Import this after set_up(): it needs Django."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from django.db import Error

from benchmarks.nodes import at_once, on_node
from bff_sessions import conf
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.protection import store_key
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores.orm import OrmUserSessionStore

__all__ = [
    "NODES",
    "count_failed_revocations",
    "count_lost_writes",
    "count_overlaps",
    "count_unknown",
    "measure_served",
]

NODES = ["default", "second", "third"]


def _start(subject: str, **data: Any) -> str:
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": subject, "sid": subject}
    session.update(data)
    session.save()
    key: str = session.session_key
    return key


def _is_served(key: str) -> bool:
    return "oidc" in SessionStore(key)


def _wait_for(key: str, aliases: Sequence[str] = NODES) -> None:
    for alias in aliases:
        with on_node(alias):
            while not _is_served(key):
                time.sleep(0.001)


def count_failed_revocations(rounds: int) -> int:
    """Return how many revocations raised an error, of one on each node in each round."""
    failed = 0
    for number in range(rounds):
        subject = f"revoked {number}"
        keys = [_start(subject) for _ in range(3)]
        _wait_for(keys[-1])

        def revoke(alias: str, subject: str = subject) -> bool:
            try:
                revoke_sessions(UserSessionsFilter(subject_id=subject))
            except Error:
                return True
            return False

        failed += sum(at_once(revoke, NODES))
        _revoke(subject)  # For a node whose own revocation failed.
    return failed


def _revoke(subject: str) -> None:
    revoke_sessions(UserSessionsFilter(subject_id=subject))


def count_lost_writes(writes: int) -> tuple[int, int]:
    """Return how many acknowledged writes were lost, and how many raised an error."""
    key = _start("writer")
    _wait_for(key)

    def write(alias: str) -> int:
        failed = 0
        for _ in range(writes):
            session = SessionStore(key)
            session[alias] = session.get(alias, 0) + 1
            try:
                session.save()
            except Exception:
                failed += 1
        return failed

    failed = sum(at_once(write, NODES))
    session = SessionStore(key)
    written = sum(session.get(alias, 0) for alias in NODES)
    _revoke("writer")
    return len(NODES) * writes - failed - written, failed


def count_overlaps(leases: int) -> tuple[int, int]:
    """Return how many leases began before the one before was released, and how many failed."""
    key = _start("lessee")
    _wait_for(key)
    store, own_key = OrmUserSessionStore(), store_key(conf.PARTITION, key)

    def lease(alias: str) -> tuple[list[tuple[float, float]], int]:
        held: list[tuple[float, float]] = []
        failed = 0
        while len(held) < leases:
            try:
                if store.acquire_lease(own_key, alias, 30):
                    begin = time.monotonic()
                    time.sleep(0.001)
                    held.append((begin, time.monotonic()))
                    store.release_lease(own_key, alias)
            except Error:
                failed += 1
        return held, failed

    done = at_once(lease, NODES)
    held = sorted(interval for intervals, _ in done for interval in intervals)
    _revoke("lessee")
    return sum(begin < end for (_, end), (begin, _) in pairwise(held)), sum(n for _, n in done)


def count_unknown(sessions: int) -> int:
    """Return how many sessions the next node did not know yet."""
    unknown = 0
    for number in range(sessions):
        with on_node(NODES[number % 3]):
            key = _start("new")
        with on_node(NODES[(number + 1) % 3]):
            unknown += not _is_served(key)
    _revoke("new")
    return unknown


def measure_served(sessions: int) -> float:
    """Return the seconds for which a session was served at most after its revocation."""
    longest = 0.0
    for number in range(sessions):
        subject = f"served {number}"
        key = _start(subject)
        other = NODES[1 + number % 2]
        _wait_for(key, [other])
        _revoke(subject)
        revoked = time.monotonic()
        with on_node(other):
            while _is_served(key):
                longest = max(longest, time.monotonic() - revoked)
    return longest
