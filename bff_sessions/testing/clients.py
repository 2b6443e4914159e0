"""Test clients that stay signed in when a test writes to their session."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from django import test
from django.conf import settings
from django.contrib.auth import load_backend
from django.http import HttpRequest

import bff_sessions
from bff_sessions.oidc.registrations import known_issuers

if TYPE_CHECKING:
    from bff_sessions.engine import SessionStore


_TOKEN: Final = {"access_token": "access-token", "expires_in": 3600}


class _FollowsSession:
    """Update the cookie of a test client when its session moves to a new session key.

    A write that changes the subject moves the session, as a sign-in does. A browser learns the new
    session key from the response, but a test client does not.
    """

    @property
    def session(self) -> SessionStore:
        super().session  # type: ignore[misc]  # noqa: B018  It creates one if there is none.
        return _session_of(self)

    async def asession(self) -> SessionStore:
        """See session."""
        await super().asession()  # type: ignore[misc]
        return _session_of(self)


class Client(_FollowsSession, test.Client):
    """Django's test client, which also stays signed in after a test writes to its session.

    When the session that `session` returns moves to a new session key, it updates the client's
    cookie. This happens for example after ``session["oidc"] = claims`` and ``session.save()``.
    """


class AsyncClient(_FollowsSession, test.AsyncClient):
    """Django's asynchronous test client; see Client."""


def sign_in(
    client: Any,
    user: Any,
    *,
    claims: Mapping[str, Any] | None = None,
    token: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> SessionStore:
    """Sign `user` in to `client` as a provider would, and return the session.

        session = sign_in(client, user, claims={"sid": "laptop"})

    Args:
        client: a test client of this package or of Django, also an asynchronous one.
        claims: claims of the ID token. By default ``iss`` is the first of
            BFF_SESSIONS["PROVIDERS"], or else ``https://idp.example``, and ``sub`` is the name of
            the user.
        token: members of the token response. By default it has an access token that expires in an
            hour, so that get_access_token() needs no provider.
        backend: the dotted path of the authentication backend. By default the first.

    Raises:
        TypeError, ValueError: as bff_sessions.sign_in().
    """
    request = HttpRequest()
    request.session = client.session
    bff_sessions.sign_in(request, user, **_arguments(user, claims, token, backend))
    request.session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = request.session.session_key
    return _session_of(client)


async def asign_in(
    client: Any,
    user: Any,
    *,
    claims: Mapping[str, Any] | None = None,
    token: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> SessionStore:
    """See sign_in()."""
    request = HttpRequest()
    request.session = await client.asession()
    await bff_sessions.asign_in(request, user, **_arguments(user, claims, token, backend))
    await request.session.asave()
    client.cookies[settings.SESSION_COOKIE_NAME] = request.session.session_key
    return _session_of(client)


def _arguments(
    user: Any,
    claims: Mapping[str, Any] | None,
    token: Mapping[str, Any] | None,
    backend: str | None,
) -> dict[str, Any]:
    issuer = next(iter(known_issuers()), "https://idp.example")
    return {
        "token": {**_TOKEN, **(token or {})},
        "claims": {"iss": issuer, "sub": user.get_username(), **(claims or {})},
        "backend": backend or _find_backend(),
    }


def _find_backend() -> str:
    # As Client.force_login().
    return next(p for p in settings.AUTHENTICATION_BACKENDS if hasattr(load_backend(p), "get_user"))


def _session_of(client: Any) -> SessionStore:
    """Return the session of `client`, which updates the client's cookie when it moves."""
    session_class = _make_class(import_module(settings.SESSION_ENGINE).SessionStore)
    session: SessionStore = session_class(client.cookies[settings.SESSION_COOKIE_NAME].value)
    session.client = client  # type: ignore[attr-defined]
    return session


@cache
def _make_class(base: Any) -> Any:
    class ClientSession(base):  # type: ignore[misc]
        """The session of a test client."""

        client: Any

        def save(self, must_create: bool = False) -> None:
            super().save(must_create)
            self._take_along()

        async def asave(self, must_create: bool = False) -> None:
            await super().asave(must_create)
            self._take_along()

        def cycle_key(self) -> None:
            super().cycle_key()
            self._take_along()

        async def acycle_key(self) -> None:
            await super().acycle_key()
            self._take_along()

        def _take_along(self) -> None:
            self.client.cookies[settings.SESSION_COOKIE_NAME] = self.session_key

    return ClientSession
