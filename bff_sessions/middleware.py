"""The session middleware, which answers requests whose session has ended or cannot be reached.

In MIDDLEWARE, "bff_sessions.middleware.SessionMiddleware" replaces Django's session middleware.
"""

from __future__ import annotations

import logging
from typing import Final

from django.conf import settings
from django.contrib.sessions import middleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from bff_sessions._compat.django_log import log_as_info
from bff_sessions.device.recording import record_device
from bff_sessions.engine import SessionStore
from bff_sessions.events import current_request
from bff_sessions.exceptions import (
    RecentSignInRequired,
    SessionConflict,
    SignInEnded,
    SignInRequired,
    StoreUnavailable,
)
from bff_sessions.repeats import error_level
from bff_sessions.views.ended import pass_on
from bff_sessions.views.endpoint import error
from bff_sessions.views.login import is_page_load, login_url
from bff_sessions.views.recent import answer

logger = logging.getLogger("bff_sessions.store")

_SESSION_ENDED: Final = ("session_ended", "The session has ended: sign in again.")
_SIGN_IN_REQUIRED: Final = (
    "sign_in_required",
    "The session has no valid access token: sign in again.",
)
# Seconds. A failover takes some.
_RETRY_AFTER: Final = 5


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's session middleware with better answers to requests whose session has ended.

    A page load is redirected to sign-in, and fetch() gets a 401 in JSON, where Django's middleware
    answers 400. The cookie stays, because a sign-in in another tab may have replaced it.

    If the store raises `StoreUnavailable`, as the Redis store does if its server cannot be reached,
    the answer is 503. An error of a database is answered by Django.

    The sign-in page may say why a session has ended, see `bff_sessions.views.ended`.

    The middleware also records the device of a session for BFF_SESSIONS["DEVICE"].
    """

    keeps_cookie_of_others = True
    """The middleware sends no cookie if another request has moved the session to a new key.

    The browser has the new session key from that request. Because of this attribute the engine lets
    a request continue whose session has moved.
    """

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        current_request.set(request)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return self._process_response(request, response)
        finally:
            current_request.set(None)  # The thread lives on.

    def _process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            response = super().process_response(request, response)
        except SessionInterrupted as interrupted:
            if isinstance(interrupted, SessionConflict):  # The session lives on.
                raise
            return ask_to_sign_in(request, *_SESSION_ENDED)
        except StoreUnavailable as unavailable:
            return _come_back(request, unavailable)
        if isinstance(request.session, SessionStore) and request.session.keeps_cookie_of_others:
            response.cookies.pop(settings.SESSION_COOKIE_NAME, None)
        pass_on(request, response)
        record_device(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer if the session ended while the view signed a user in or waited for a lease.

        SignInRequired of get_access_token() has an answer of its own, because the session lives on.
        """
        if isinstance(exception, SessionConflict):  # The session lives on.
            return None
        if isinstance(exception, (SessionInterrupted, SignInEnded)):
            return ask_to_sign_in(request, *_SESSION_ENDED)
        if isinstance(exception, RecentSignInRequired):
            return answer(request, exception)
        if isinstance(exception, SignInRequired):
            return ask_to_sign_in(request, *_SIGN_IN_REQUIRED)
        if isinstance(exception, StoreUnavailable):
            return _come_back(request, exception)
        return None


def ask_to_sign_in(request: HttpRequest, code: str, text: str) -> HttpResponse:
    """Return a redirect to sign-in for a page load, and a 401 for other requests."""
    if not is_page_load(request):
        response: HttpResponse = error(401, code, text)
    else:
        # Return to the page only if it was read: the browser cannot repeat a POST after sign-in.
        is_get = request.method in ("GET", "HEAD")
        response = HttpResponseRedirect(login_url(request.get_full_path() if is_get else None))
    response["Cache-Control"] = "no-store"
    return response


def _come_back(request: HttpRequest, unavailable: StoreUnavailable) -> HttpResponse:
    """Return the answer to a request whose session cannot be read or written at present."""
    logger.log(error_level(logger, unavailable), "A request failed: %s", unavailable)
    text = "The sessions cannot be reached at present: try again."
    if is_page_load(request):
        response = HttpResponse(text, status=503, content_type="text/plain")
    else:
        response = error(503, "temporarily_unavailable", text)
    response["Retry-After"] = str(_RETRY_AFTER)
    response["Cache-Control"] = "no-store"
    # Our own line is enough.
    log_as_info(request, response)
    return response
