"""The floor of the Redis store: its commands, sent with redis-py directly, in one round trip."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any
from unittest import mock

from django.conf import settings

from benchmarks.contents import text
from benchmarks.operations import Operation, Steps
from benchmarks.sessions import Sessions
from bff_sessions.stores.redis.link import Link

__all__ = ["RAW_REDIS"]


class _Command(Exception):
    """Stops the engine before it sends a command."""


def _command(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that sends the command that `call` would send."""

    def stop(link: Link, command: tuple[Any, ...]) -> Any:
        raise _Command(*command)

    try:
        with mock.patch.object(Link, "_ask", stop):
            call()
    except _Command as command:
        return partial(_client().execute_command, *command.args)
    raise AssertionError("The call sends no command.")


@cache
def _client() -> Any:
    import redis

    return redis.Redis.from_url(settings.BFF_SESSIONS["REDIS"]["URL"])


def load(sessions: Sessions) -> Steps:
    key = sessions.take_warm()
    values = yield _command(sessions.open(key).load)
    assert all(values[:4])
    sessions.give_back(key)


def load_unknown(sessions: Sessions) -> Steps:
    values = yield _command(sessions.open(text(32)).load)
    assert not any(values)


def save(sessions: Sessions) -> Steps:
    session = sessions.known()
    session["mark"] = next(sessions.marks)
    version = yield _command(session.save)
    assert version[0] > 1
    sessions.give_back(session.session_key)


RAW_REDIS: dict[str, Operation] = {"load": load, "load unknown": load_unknown, "save": save}
