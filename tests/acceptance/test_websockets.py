"""The examples of WebSockets that end with their session."""

import asyncio
from importlib import import_module

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import arevoke_sessions
from bff_sessions.watching import watcher as watcher_module
from tests.support.endpoints import ISSUER, claims

PATIENCE = 30  # Seconds.
MINE = UserSessionsFilter(subject_id="alice", issuer=ISSUER)


@pytest.fixture(params=["websocket_site.application", "channels_site.websocket"])
def application(request, watcher, look_every):
    if request.param.startswith("channels"):
        pytest.importorskip("channels")
    look_every(60)
    module, _, name = request.param.partition(".")
    return getattr(import_module(f"tests.support.{module}"), name)


@pytest.fixture
def connect(application):
    """Returns a connected client, which has the cookie of `data`."""

    def connect(data=None, origin="http://testserver"):
        session = SessionStore()
        session.update(claims() if data is None else data)
        session.save()
        return Client(application, session.session_key, origin)

    return connect


class Client(ApplicationCommunicator):
    def __init__(self, application, session_key, origin):
        headers = {"host": "testserver", "origin": origin, "cookie": f"sessionid={session_key}"}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": "/echo", "query_string": b"", "headers": encoded}
        super().__init__(application, scope)

    async def open(self):
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(PATIENCE))["type"]

    async def say(self, text):
        await self.send_input({"type": "websocket.receive", "text": text})
        return (await self.receive_output(PATIENCE))["text"]

    async def leave(self):
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(PATIENCE)


def test_websocket_ends_with_its_session(connect, watcher):
    client = connect()

    async def talk():
        assert await client.open() == "websocket.accept"
        assert await client.say("hello") == "hello"
        await arevoke_sessions(MINE)
        closed = await client.receive_output(PATIENCE)
        assert (closed["type"], closed["code"]) == ("websocket.close", 4401)
        await client.leave()

    async_to_sync(talk)()
    assert watcher.pages() == []


def test_websocket_connects_again_if_the_server_stops(connect, monkeypatch):
    client = connect()

    async def talk():
        assert await client.open() == "websocket.accept"
        monkeypatch.setattr(watcher_module, "is_stopping", lambda: True)
        assert (await client.receive_output(PATIENCE))["code"] == 1012
        await client.leave()

    async_to_sync(talk)()


def test_websocket_that_is_closed_is_not_watched(connect, watcher):
    client = connect()

    async def talk():
        assert await client.open() == "websocket.accept"
        assert await client.say("hello") == "hello"
        assert len(watcher.pages()) == 1
        await client.leave()
        await asyncio.sleep(0)

    async_to_sync(talk)()
    assert watcher.pages() == []


def test_websocket_of_nobody_is_refused(connect):
    client = connect({"cart": [1]})
    assert async_to_sync(client.open)() == "websocket.close"


def test_websocket_of_another_site_is_refused(connect):
    client = connect(origin="https://evil.example")
    assert async_to_sync(client.open)() == "websocket.close"
