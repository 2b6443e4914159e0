"""A project that uses the public names, for `tox -e types`: no type checker may find a fault.

Nothing runs this module.
"""

from __future__ import annotations

from typing import assert_type

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import View

from bff_sessions import (
    Identity,
    abind_identity,
    aget_access_token,
    asign_in,
    bind_identity,
    get_access_token,
    sign_in,
)
from bff_sessions.contract import Actor, EndReason, UserSession, UserSessionsFilter
from bff_sessions.exceptions import SessionBusy, SignInRequired
from bff_sessions.http import BffHttpRequest
from bff_sessions.revocation import arevoke_sessions, revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing import AsyncClient, Client
from bff_sessions.testing import sign_in as sign_client_in


def orders(request: BffHttpRequest) -> HttpResponse:
    assert_type(request.session.slide, bool)
    request.session.slide = False
    assert_type(request.session.store_key, str | None)
    assert_type(request.session.get_user_session(), UserSession | None)
    try:
        with request.session.exclusive(timeout=5, seconds=10):
            request.session["orders"] = []
    except SessionBusy:
        return HttpResponse(status=503)
    return HttpResponse(get_access_token(request, margin=30))


async def aorders(request: BffHttpRequest) -> HttpResponse:
    async with request.session.exclusive():
        await request.session.aset("orders", [])
    assert_type(await request.session.aget_user_session(), UserSession | None)
    try:
        token: str = await aget_access_token(request)
    except SignInRequired:
        return HttpResponse(status=401)
    return HttpResponse(token)


class Orders(View):
    def get(self, request: BffHttpRequest) -> HttpResponse:
        return HttpResponse(request.session.store_key or "")


def callback(request: HttpRequest) -> HttpResponse:
    claims = {"iss": "https://idp.example", "sub": "alice"}
    token = {"access_token": "secret", "expires_in": 300}
    sign_in(request, User.objects.get(), token, claims=claims, backend="shop.Backend")
    bind_identity(request, subject_id="alice", issuer="https://idp.example", session_id=None)
    return HttpResponse()


async def acallback(request: HttpRequest) -> HttpResponse:
    await asign_in(request, await User.objects.aget(), {"access_token": "secret"}, claims={})
    await abind_identity(request, subject_id="alice")
    return HttpResponse()


def sign_out_elsewhere(request: BffHttpRequest) -> int:
    current = request.session.get_user_session()
    if current is None or current.subject_id is None:
        return 0
    return revoke_sessions(UserSessionsFilter.of_subject(current, exclude_key=current.key))


def block(request: BffHttpRequest, user: User) -> int:
    user_id = str(user.pk)
    reason, actor = EndReason.USER_DEACTIVATED, Actor.of_user(user)
    return revoke_sessions(UserSessionsFilter(user_id=user_id), reason=reason, actor=actor)


async def asign_out(subject_id: str) -> int:
    assert_type(
        get_store().get_user_sessions(UserSessionsFilter(subject_id=subject_id)), list[UserSession]
    )
    return await arevoke_sessions(UserSessionsFilter(subject_id=subject_id))


def resolve(data: dict[str, str]) -> Identity:
    return Identity(issuer="https://idp.example", subject_id=data["sub"])


def test_orders() -> None:
    session = sign_client_in(Client(), User.objects.get(), claims={"sid": "laptop"})
    assert_type(session.store_key, str | None)
    assert_type(Client().session.store_key, str | None)
    AsyncClient().cookies.clear()


urlpatterns = [
    path("orders", orders),
    path("aorders", aorders),
    path("class", Orders.as_view()),
    path("callback", callback),
    path("acallback", acallback),
]
