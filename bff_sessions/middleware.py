"""What a browser gets when its session ends under its feet, instead of Django's bare 400.

In MIDDLEWARE, "bff_sessions.middleware.SessionMiddleware" takes the place of Django's.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions import middleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from bff_sessions.device.noting import note_device
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import SessionConflict, SignInRequired
from bff_sessions.views.endpoint import error
from bff_sessions.views.login import login_url

__all__ = ["SessionMiddleware"]


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's, which sends a page load to sign-in, and answers fetch() with a 401 in JSON.

    It is also who knows with what a session is used, for BFF_SESSIONS["DEVICE"].

    The cookie stays: it may be a newer one by now, of a sign-in in another tab.
    """

    keeps_cookie_of_others = True
    """Another request has moved the session and sent the browser its new key: this one does not
    overwrite it. Tells the engine that such a request can go on."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            response = super().process_response(request, response)
        except SessionInterrupted:
            if getattr(request.session, "is_contended", False):
                raise
            return session_ended(request)
        if isinstance(request.session, SessionStore) and request.session.keeps_cookie_of_others:
            response.cookies.pop(settings.SESSION_COOKIE_NAME, None)
        note_device(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """For a view that signs in, or takes an exclusive session, when it has just ended; and for
        one that gets no access token any more."""
        # A session with conflicts lives on.
        is_conflict = isinstance(exception, SessionConflict)
        has_ended = isinstance(exception, SessionInterrupted) and not is_conflict
        if has_ended or isinstance(exception, SignInRequired):
            return session_ended(request)
        return None


def session_ended(request: HttpRequest) -> HttpResponse:
    if not _is_page_load(request):
        response: HttpResponse = error(
            401, "session_ended", "The session has ended: sign in again."
        )
    else:
        # What was posted cannot be posted again from there.
        is_get = request.method in ("GET", "HEAD")
        response = HttpResponseRedirect(login_url(request.get_full_path() if is_get else None))
    response["Cache-Control"] = "no-store"
    return response


def _is_page_load(request: HttpRequest) -> bool:
    # Fetch Metadata Request Headers; what is too old for them asks for HTML by name.
    mode = request.headers.get("Sec-Fetch-Mode")
    return mode == "navigate" if mode else "text/html" in request.headers.get("Accept", "")
