"""Adapter for mozilla-django-oidc, whose ID token the default resolver reads.

    OIDC_STORE_ID_TOKEN = True
    OIDC_CALLBACK_CLASS = "bff_sessions.adapters.mozilla.CallbackView"

The view makes sure that the session holds the tokens of its own user.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView

from bff_sessions.secret import hidden_frames


class CallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Store the tokens of the user who has signed in, and of no other user.

    The library puts tokens into the session before it knows the user. If another user was signed
    in, ``auth.login()`` flushes them. If the sign-in fails, they stay with the previous user.
    """

    def get(self, request: HttpRequest) -> HttpResponse:
        self._before = _tokens(request.session)
        response: HttpResponse = super().get(request)
        return response

    @hidden_frames()
    def login_success(self) -> HttpResponse:
        tokens = _tokens(self.request.session)
        response: HttpResponse = super().login_success()
        self.request.session.update(tokens)
        return response

    def login_failure(self) -> HttpResponse:
        session = self.request.session
        for name in _tokens(session):
            if name in self._before:
                session[name] = self._before[name]
            else:
                del session[name]
        response: HttpResponse = super().login_failure()
        return response


def _tokens(session: Any) -> dict[str, Any]:
    """Return the ID token and access token, and the refresh token if a backend stores one."""
    return {
        name: value
        for name, value in session.items()
        if name.startswith("oidc_") and name.endswith("_token")
    }
