"""A WebSocket that ends with its session, on Django's ASGI handler."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import close_old_connections
from django.http.cookie import parse_cookie

from bff_sessions.engine import SessionStore
from bff_sessions.watching import NewsKind, await_end

SESSION_ENDED = 4401  # Codes from 4000 on belong to the application.
SERVER_RESTARTS = 1012  # The client connects again.

django_application = get_asgi_application()


async def application(scope, receive, send):
    serve = serve_websocket if scope["type"] == "websocket" else django_application
    await serve(scope, receive, send)


async def serve_websocket(scope, receive, send):
    session = await find_session(scope)
    if session is None:
        # Before it is accepted, the server answers 403.
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    serving = asyncio.create_task(echo(receive, send))
    ending = asyncio.create_task(await_end(session))
    try:
        await asyncio.wait([serving, ending], return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            stops = ending.result().kind is NewsKind.SERVER_STOPS
            code = SERVER_RESTARTS if stops else SESSION_ENDED
            await send({"type": "websocket.close", "code": code})
    finally:
        for task in (serving, ending):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def echo(receive, send):
    """What the site does with its WebSocket."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


async def find_session(scope):
    """Return the session of the signed-in user whose page connects; None without one."""
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    # A page of another site would connect with the cookies of the user.
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
        return None
    cookies = parse_cookie(headers.get("cookie", ""))
    store = SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    session = await store.aget_user_session()
    # No request ends here, so that nothing else closes the connection to the database.
    await sync_to_async(close_old_connections)()
    return session if session is not None and session.subject_id is not None else None
