"""However a stream under ASGI ends, its page is not watched any more, and its place is free."""

import asyncio
import gc
from contextlib import suppress
from io import BytesIO

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.handlers import asgi

from bff_sessions.engine import SessionStore
from bff_sessions.views import events, streams
from bff_sessions.watching import watcher as watcher_module
from tests.support.endpoints import claims

PATIENCE = 30  # Seconds.
DISCONNECT = {"type": "http.disconnect"}


class Request(ApplicationCommunicator):
    """GET events, as an ASGI server hands it over."""

    def __init__(self, session_key, application=None):
        headers = {"host": "testserver", "cookie": f"sessionid={session_key}"}
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/bff/events",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        super().__init__(application or get_asgi_application(), scope)

    async def begin(self):
        """Return the status, once the first part has arrived or the response is refused."""
        await self.send_input({"type": "http.request"})
        status = (await self.receive_output(PATIENCE))["status"]
        await self.receive_output(PATIENCE)
        return status

    async def leave(self):
        await self.send_input(DISCONNECT)
        await self.wait(PATIENCE)


@pytest.fixture
def session_key(watcher, look_every, monkeypatch):
    look_every(60)
    monkeypatch.setattr(events, "_MOST_OF_SESSION", 1)
    # Django does not close the body of a request that fails.
    monkeypatch.setattr(asgi.tempfile, "SpooledTemporaryFile", lambda **options: BytesIO())
    session = SessionStore()
    session.update(claims())
    session.save()
    return session.session_key


@pytest.fixture
def check(session_key, watcher):
    """Checks that another stream is served after `end`, which gets one."""

    async def run(end):
        request = Request(session_key)
        await end(request)
        async with asyncio.timeout(PATIENCE):
            # A view that its request has left still runs in its thread.
            while watcher.pages() or await begin_and_leave() != 200:
                await asyncio.sleep(0.01)
                gc.collect()  # Django does not close a response that it cannot send.

    async def begin_and_leave():
        other = Request(session_key)
        status = await other.begin()
        await other.leave()
        return status

    return async_to_sync(run)


def test_second_stream_is_refused(session_key):
    async def run():
        first, second = Request(session_key), Request(session_key)
        assert await first.begin() == 200
        assert await second.begin() == 429
        await first.leave()

    async_to_sync(run)()


def test_client_that_leaves(check):
    async def end(request):
        assert await request.begin() == 200
        await request.leave()

    check(end)


def test_client_that_leaves_before_the_response(check):
    async def end(request):
        await request.send_input({"type": "http.request"})
        await request.leave()

    check(end)


def test_client_that_leaves_before_the_first_part(check):
    async def end(request):
        await request.send_input({"type": "http.request"})
        assert (await request.receive_output(PATIENCE))["status"] == 200
        await request.leave()

    check(end)


# Django leaves the connection of a cancelled request to the garbage collector, and Python 3.13
# warns of each SQLite connection that is not closed.
@pytest.mark.filterwarnings("ignore:.*sqlite3.Connection:pytest.PytestUnraisableExceptionWarning")
def test_server_that_cancels_the_request(check):
    async def end(request):
        assert await request.begin() == 200
        request.future.cancel()
        with suppress(asyncio.CancelledError):
            await request.future
        # Django leaves its own tasks to asyncio.run(), which cancels them in the end.
        for task in asyncio.all_tasks():
            if "ASGIHandler" in repr(task):
                task.cancel()

    check(end)
    gc.collect()  # Here, and not in another test.


def test_connection_that_breaks(check, session_key, monkeypatch):
    monkeypatch.setattr(streams, "_HEARTBEAT", 0.01)

    async def end(request):
        async def application(scope, receive, send):
            async def fail(message):
                if message.get("body") == b":\n\n":
                    raise OSError("broken pipe")
                await send(message)

            await get_asgi_application()(scope, receive, fail)

        broken = Request(session_key, application)
        await broken.send_input({"type": "http.request"})
        with suppress(OSError):
            await broken.wait(PATIENCE)

    check(end)


def test_server_that_stops(check, monkeypatch):
    async def end(request):
        assert await request.begin() == 200
        with monkeypatch.context() as patched:
            patched.setattr(watcher_module, "is_stopping", lambda: True)
            await request.wait(PATIENCE)

    check(end)


def test_server_that_stops_while_the_database_hangs(check, monkeypatch):
    async def end(request):
        with monkeypatch.context() as patched:
            patched.setattr(streams, "_HEARTBEAT", 0.01)
            assert await request.begin() == 200
            # The thread that looks does not say it.
            patched.setattr(streams, "is_stopping", lambda: True)
            await request.wait(PATIENCE)

    check(end)


def test_error_in_the_stream(check, monkeypatch):
    def fail():
        raise ZeroDivisionError

    async def end(request):
        with monkeypatch.context() as patched:
            patched.setattr(streams, "release_thread", fail)
            assert await request.begin() == 200
            with pytest.raises(ZeroDivisionError):
                await request.wait(PATIENCE)

    check(end)
