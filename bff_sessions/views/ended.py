"""Why the session of a browser has ended, for the page on which its user signs in again.

The first answer to a browser whose session is gone deletes its session cookie, and is a redirect to
the sign-in page. So the middleware passes the reason on in a cookie of its own, for some minutes.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from bff_sessions import conf
from bff_sessions.contract import EndReason
from bff_sessions.engine import SessionStore
from bff_sessions.engine.tickets import is_session_key
from bff_sessions.protection import store_key
from bff_sessions.revocation.notes import read_note

COOKIE: Final = "bff_session_ended"
_MAX_AGE: Final = 300  # seconds, to read the sign-in page
_UNKNOWN: Final = "unknown"
_TEXTS: Final[dict[str, Any]] = {
    EndReason.OTHER_BROWSER.value: _("Your session was ended from another browser."),
    EndReason.OPERATOR.value: _("An operator has ended your session."),
    EndReason.PROVIDER.value: _("Your identity provider has ended your session."),
    _UNKNOWN: _("Your session has ended."),
}


def why_ended(request: HttpRequest) -> str | None:
    """Return why this browser's session has ended, as a sentence; None if none has ended.

    For sign-in pages; templates use the tag ``session_ended`` of the library ``bff_sessions``.
    """
    code = code_of(request)
    return None if code is None else text_of(code)


def code_of(request: HttpRequest) -> str | None:
    """Return the code of text_of() for this browser's session; None if none has ended."""
    code = request.COOKIES.get(COOKIE) if _has_no_user(request) else None
    code = code or _find(request)
    return code if code in _TEXTS else None


def text_of(code: str | None) -> str:
    """Return the sentence for the code of an `EndReason`, or for an unknown one."""
    return str(_TEXTS.get(code or "", _TEXTS[_UNKNOWN]))


def pass_on(request: HttpRequest, response: HttpResponse) -> None:
    """Let the next pages know why the session of `request` has ended, until a user signs in."""
    session = getattr(request, "session", None)
    # Reads nothing: the response is ready, and the store may be the reason why it is an error.
    if not isinstance(session, SessionStore) or not session.is_loaded:
        return
    if COOKIE in request.COOKIES:
        if not _has_no_user(request):
            response.delete_cookie(
                COOKIE,
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
    elif code := _find(request):
        response.set_cookie(
            COOKIE,
            code,
            max_age=_MAX_AGE,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )


def _has_no_user(request: HttpRequest) -> bool:
    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore):
        return False
    current = session.get_user_session()
    return current is None or current.subject_id is None


def _find(request: HttpRequest) -> str | None:
    """Return why the session of the request's cookie has ended; None if it has not."""
    session = getattr(request, "session", None)
    arrived = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not (isinstance(session, SessionStore) and is_session_key(arrived)):
        return None
    # Loads the session, if no view has.
    if not _has_no_user(request) or not session.has_ended:
        return None
    # A sign-out by the user does not need a reason, and a session that has moved has not ended.
    if session.signs_out or session.keeps_cookie_of_others:
        return None
    reason = read_note(store_key(conf.PARTITION, arrived))
    return _UNKNOWN if reason is None else reason.value
