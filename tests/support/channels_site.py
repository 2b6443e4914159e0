"""A WebSocket that ends with its session, with Channels."""

import asyncio

from channels.db import aclose_old_connections
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import SessionMiddlewareStack
from django.urls import path

from bff_sessions.watching import NewsKind, await_end

SESSION_ENDED = 4401  # Codes from 4000 on belong to the application.
SERVER_RESTARTS = 1012  # The client connects again.


class Echo(AsyncWebsocketConsumer):
    ending = None

    async def connect(self):
        session = await self.scope["session"].aget_user_session()
        await aclose_old_connections()
        if session is None or session.subject_id is None:
            await self.close()
            return
        await self.accept()
        self.ending = asyncio.create_task(self.close_with(session))

    async def disconnect(self, code):
        if self.ending is not None:
            self.ending.cancel()

    async def close_with(self, session):
        news = await await_end(session)
        stops = news.kind is NewsKind.SERVER_STOPS
        await self.close(SERVER_RESTARTS if stops else SESSION_ENDED)

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data)


# In asgi.py: ProtocolTypeRouter({"http": get_asgi_application(), "websocket": websocket}).
# Without the validator, a page of another site would connect with the cookies of the user.
websocket = AllowedHostsOriginValidator(
    SessionMiddlewareStack(URLRouter([path("echo", Echo.as_asgi())]))
)
