"""``GET user``: the claims of the signed-in user, and the lifetime of the session."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.stores.live import end_of
from bff_sessions.views.endpoint import (
    endpoint,
    not_signed_in,
    read_slide,
    session_of,
    signed_in,
    url_of,
)


@endpoint("user", "GET", "HEAD")
def user(request: HttpRequest) -> HttpResponse:
    """Return the claims of the signed-in user, and the lifetime of the session."""
    read_slide(request)
    current = signed_in(request)
    if current is None:
        return JsonResponse(None, safe=False) if conf.ANONYMOUS_STATUS == 200 else not_signed_in()
    return JsonResponse(
        {
            "claims": conf.load_callable("USER_CLAIMS")(request),
            "expires_in": expires_in(request, current),
            "logout_url": url_of(request, "logout") if "logout" in conf.ENDPOINTS else None,
            "csrf_token": get_token(request),
        }
    )


def expires_in(request: HttpRequest, current: UserSession) -> int | None:
    """Return the seconds until the session ends after this request; None if it does not expire."""
    session = session_of(request)
    if session.modified or (settings.SESSION_SAVE_EVERY_REQUEST and session.slide):
        return session.get_expiry_age()  # The middleware will renew it.
    end = end_of(current)
    return None if end is None else max(0, int((end - datetime.now(UTC)).total_seconds()))
