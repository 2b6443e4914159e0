"""Adapter for mozilla-django-oidc, whose ID token the default resolver reads.

    OIDC_STORE_ID_TOKEN = True
    OIDC_STORE_ACCESS_TOKEN = True
    OIDC_CALLBACK_CLASS = "bff_sessions.adapters.mozilla.CallbackView"

The view makes sure that the session holds the tokens of its own user, and all of them. The second
line is for get_access_token(). The module also lets the library pass on what recent_sign_in()
demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import (
    OIDCAuthenticationCallbackView,
    OIDCAuthenticationRequestView,
)

from bff_sessions.identity.id_tokens import ID_TOKEN, MOZILLA_TOKENS, read_claims
from bff_sessions.oidc.sign_in.step_up import sign_in_parameters
from bff_sessions.oidc.sign_in.token_responses import try_response
from bff_sessions.oidc.tokens import read_tokens
from bff_sessions.secret import Secret, hidden_frames

_RESPONSE = "_bff_token_response"


class CallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Store the tokens of the user who has signed in, and of no other user.

    The library puts tokens into the session before it knows the user. If another user was signed
    in, ``auth.login()`` flushes them. If the sign-in fails, they stay with the previous user.

    With OIDC_STORE_ACCESS_TOKEN, the view also stores the refresh token, the expiry and the scope,
    which the library drops.
    """

    keeps_tokens = True
    """The view stores when the access token expires. A system check looks for this attribute."""

    _is_refused = True

    def get(self, request: HttpRequest) -> HttpResponse:
        self._before = _tokens(request.session)
        try:
            response: HttpResponse = super().get(request)
        except Exception:
            # A backend may raise Http404, for example: then the session is saved, too.
            if self._is_refused:
                self._restore_tokens()
            raise
        return response

    @hidden_frames()
    def login_success(self) -> HttpResponse:
        self._is_refused = False
        tokens = _tokens(self.request.session)
        if getattr(self.request, "user", None) != self.user:
            # What this sign-in has not written is of the user of before.
            before = self._before
            tokens = {name: each for name, each in tokens.items() if each != before.get(name)}
        response: HttpResponse = super().login_success()
        self.request.session.update(tokens)
        self._keep_response()
        return response

    def login_failure(self) -> HttpResponse:
        self._restore_tokens()
        response: HttpResponse = super().login_failure()
        return response

    def _restore_tokens(self) -> None:
        session = self.request.session
        for name in _tokens(session):
            if name in self._before:
                session[name] = self._before[name]
            else:
                del session[name]

    def _keep_response(self) -> None:
        """Store what came with the access token, if the library has stored that."""
        session, kept = self.request.session, getattr(self.request, _RESPONSE, None)
        if kept is None or "oidc_access_token" not in session:
            return
        response = {"scope": self.get_settings("OIDC_RP_SCOPES", "openid email"), **kept.reveal()}
        tokens = try_response(response, _issuer_of(response.get("id_token")))
        if tokens is None:
            # Those of an earlier sign-in do not belong to the new access token.
            for name in MOZILLA_TOKENS:
                if name not in (ID_TOKEN, "oidc_access_token"):
                    session.pop(name, None)
            return
        # Only OIDC_STORE_ID_TOKEN decides whether the ID token is stored.
        read_tokens(session, replace(tokens, id_token=session.get(ID_TOKEN)))


def _tokens(session: Any) -> dict[str, Any]:
    """Return what the library, a backend or the view has stored of a sign-in."""
    return {name: session[name] for name in MOZILLA_TOKENS if name in session}


def _issuer_of(id_token: object) -> str | None:
    try:
        issuer = read_claims(id_token).get("iss")
    except ValueError:
        return None
    return issuer if isinstance(issuer, str) else None


def _remember(get_token: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let the view see the answer of the token endpoint.

    As of 5.0.2 authenticate() hands access token and ID token to store_tokens(), and drops the
    rest. A view cannot choose the backend, and a subclass of the backend would be one more setting,
    and one more base class for projects that have a backend of their own.
    """

    @wraps(get_token)
    def wrapper(self: Any, payload: Any) -> Any:
        response = get_token(self, payload)
        if isinstance(response, Mapping) and getattr(self, "request", None) is not None:
            setattr(self.request, _RESPONSE, Secret(response))
        return response

    return wrapper


def _pass_on(get_extra_params: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let the view that begins the sign-in pass on what recent_sign_in() demands.

    A subclass would be one more setting, and one more base class for projects with a view of their
    own. A view that overrides get_extra_params() must call super().
    """

    @wraps(get_extra_params)
    def wrapper(self: Any, request: HttpRequest) -> Any:
        return {**get_extra_params(self, request), **sign_in_parameters(request)}

    return wrapper


OIDCAuthenticationBackend.get_token = _remember(OIDCAuthenticationBackend.get_token)
OIDCAuthenticationRequestView.get_extra_params = _pass_on(
    OIDCAuthenticationRequestView.get_extra_params
)
