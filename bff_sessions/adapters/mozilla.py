"""mozilla-django-oidc, whose id token the resolver reads by itself.

    OIDC_STORE_ID_TOKEN = True
    OIDC_CALLBACK_CLASS = "bff_sessions.adapters.mozilla.CallbackView"

The view sees to it that the session holds the token of its own user.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView

from bff_sessions.secret import hidden_frames

__all__ = ["CallbackView"]


class CallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """Keeps the tokens of who has signed in, and of nobody else.

    The library puts them into the session before it knows the user. If that is another one than
    the session's, ``auth.login()`` flushes them; if it is nobody, they stay beside the old user.
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
    """The id token and the access token; a project's own backend may keep a refresh token."""
    return {
        name: value
        for name, value in session.items()
        if name.startswith("oidc_") and name.endswith("_token")
    }
