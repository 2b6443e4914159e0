"""Sessions that fill Redis before the measurement, written with the commands of their engine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from itertools import islice

import redis
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from benchmarks.contents import DatedSession, our_values
from benchmarks.engines import Engine
from bff_sessions.contract import UserSession
from bff_sessions.sansio import run
from bff_sessions.stores.redis import hints, writes
from bff_sessions.stores.redis.link import Command, Link
from bff_sessions.stores.redis.options import get_redis_options

__all__ = ["add", "forget"]

_BATCH = 1_000


def add(engine: Engine, sessions: Sequence[DatedSession], copies: int) -> None:
    """Add `sessions`, and of each one `copies` that have other keys and belong to other users."""
    (_add_ours if engine.app == "bff_sessions" else _add_contrib)(sessions, copies)


def _add_ours(sessions: Sequence[DatedSession], copies: int) -> None:
    link = Link(get_redis_options(), grace=0)
    commands: list[Command] = []
    now = timezone.now()
    # Only the first save of a day writes hints, and is an operation of its own.
    expires = now + timedelta(seconds=settings.SESSION_COOKIE_AGE)
    for old in sessions:
        session = UserSession(**our_values(old.key, old.data, now, expires))
        for each in (session, *(_copy(session, number) for number in range(copies))):
            commands += hints.to_write(link, each.key, each.partition, each)
            commands.append(writes.to_create(link, each))
    run(link.send(commands))


def _copy(session: UserSession, number: int) -> UserSession:
    key = hashlib.sha256(f"{session.key} {number}".encode()).hexdigest()
    return replace(session, key=key, subject_id=key[:16], user_id=key[:16], session_id=key[:32])


def _add_contrib(sessions: Sequence[DatedSession], copies: int) -> None:
    prefix = import_module(settings.SESSION_ENGINE).SessionStore.cache_key_prefix
    for number in range(copies + 1):
        values = {f"{prefix}{session.key}{number or ''}": session.data for session in sessions}
        cache.set_many(values, settings.SESSION_COOKIE_AGE)


def forget() -> None:
    """Delete what this process has in Redis."""
    default = settings.CACHES["default"]
    client = redis.Redis.from_url(default["LOCATION"])
    names = client.scan_iter(match=f"{default['KEY_PREFIX']}:*", count=_BATCH)
    while some := list(islice(names, _BATCH)):
        client.unlink(*some)
