"""The measured operations. Each one prepares, yields the call that is timed, and checks it.

`yield` returns the result of the call. With ``a="a"`` the call is the asynchronous twin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import cache, partial
from typing import Any

from django.contrib.auth import login
from django.core.handlers.base import BaseHandler

from benchmarks.contents import text, tokens, user_data
from benchmarks.sessions import Sessions, fill

__all__ = ["ASYNC", "AT_ONCE", "OPERATIONS", "Operation", "Steps"]

Steps = Generator[Callable[[], Any], Any, None]
Operation = Callable[[Sessions], Steps]


def create(sessions: Sessions, a: str = "") -> Steps:
    session = sessions.open()
    data = user_data(next(sessions.users)) | tokens()
    fill(session, data)
    yield getattr(session, f"{a}save")
    assert sessions.open(session.session_key)["access_token"] == data["access_token"]
    sessions.give_back(session.session_key)


def load(sessions: Sessions, a: str = "") -> Steps:
    key = sessions.take_warm()
    data = yield getattr(sessions.open(key), f"{a}load")
    assert data["access_token"]
    sessions.give_back(key)


def load_unknown(sessions: Sessions) -> Steps:
    data = yield sessions.open(text(32)).load
    assert not data


def save(sessions: Sessions, a: str = "") -> Steps:
    session = sessions.known()
    mark = session["mark"] = next(sessions.marks)
    yield getattr(session, f"{a}save")
    assert sessions.open(session.session_key)["mark"] == mark
    sessions.give_back(session.session_key)


def change(sessions: Sessions) -> Steps:
    key = sessions.take_warm()
    mark = next(sessions.marks)

    def load_change_save() -> None:
        session = sessions.open(key)
        session["mark"] = mark
        session.save()

    yield load_change_save
    assert sessions.open(key)["mark"] == mark
    sessions.give_back(key)


def cycle_key(sessions: Sessions, a: str = "") -> Steps:
    session = sessions.known()
    old, token = session.session_key, session["access_token"]
    yield getattr(session, f"{a}cycle_key")
    assert not sessions.exists(old)
    assert sessions.open(session.session_key)["access_token"] == token
    sessions.give_back(session.session_key)


def delete(sessions: Sessions, a: str = "") -> Steps:
    session = sessions.known()
    key = session.session_key
    yield getattr(session, f"{a}delete")
    assert not sessions.exists(key)


def read_request(sessions: Sessions) -> Steps:
    key = sessions.take_warm()
    response = yield partial(_handler().get_response, sessions.request("/read", key))
    assert response.content.decode() == f"user-{sessions.open(key)['_auth_user_id']}"
    assert not response.cookies  # Nothing was saved.
    sessions.give_back(key)


def write_request(sessions: Sessions) -> Steps:
    key = sessions.take_warm()
    mark = str(next(sessions.marks))
    response = yield partial(_handler().get_response, sessions.request(f"/write?mark={mark}", key))
    assert response.cookies
    assert sessions.open(key)["mark"] == mark
    sessions.give_back(key)


def sign_in(sessions: Sessions) -> Steps:
    anonymous = sessions.open()
    anonymous["state"] = text(32)
    anonymous.save()
    user = next(sessions.users)
    data = tokens()
    request = sessions.request("/", anonymous.session_key)
    request.session = sessions.open(anonymous.session_key)

    def log_in() -> None:
        login(request, user)
        fill(request.session, data)
        request.session.save()

    yield log_in
    assert not sessions.exists(anonymous.session_key)
    kept = sessions.open(request.session.session_key)
    assert (kept["_auth_user_id"], kept["id_token"]) == (str(user.pk), data["id_token"])
    request.session.delete()


@cache
def _handler() -> BaseHandler:
    handler = BaseHandler()
    handler.load_middleware()
    return handler


OPERATIONS: dict[str, Operation] = {
    "create": create,
    "load": load,
    "load unknown": load_unknown,
    "save": save,
    "load-change-save": change,
    "cycle_key": cycle_key,
    "delete": delete,
    "request that reads": read_request,
    "request that writes": write_request,
    "sign-in": sign_in,
}
ASYNC: dict[str, Operation] = {
    f"a{twin.__name__}": partial(twin, a="a") for twin in (create, load, save, cycle_key, delete)
}


def at_once(sessions: Sessions, number: int, operation: Operation) -> Steps:
    steps = [operation(sessions) for _ in range(number)]
    calls = [next(step) for step in steps]

    async def call_all() -> list[Any]:
        return await asyncio.gather(*(call() for call in calls))

    results = yield call_all
    for step, result in zip(steps, results, strict=True):
        with suppress(StopIteration):
            step.send(result)


AT_ONCE: dict[str, Operation] = {
    f"{name}, {number} at once": partial(at_once, number=number, operation=operation)
    for name, operation in ASYNC.items()
    for number in (1, 10, 100)
}
