"""``sessions``: where else the subject is signed in, and how to end that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import auth
from django.http import HttpRequest, HttpResponse, JsonResponse

from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.engine.lifetimes import end_of, is_over
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.views.endpoint import endpoint, error, not_signed_in, signed_in

__all__ = ["others", "session", "sessions"]


@endpoint("sessions", "GET", "HEAD")
def sessions(request: HttpRequest) -> HttpResponse:
    current = signed_in(request)
    found = sessions_beside(current)
    if current is None or not found:
        return not_signed_in()
    return JsonResponse({"sessions": [describe(session, current) for session in found]})


@endpoint("sessions", "DELETE")
def session(request: HttpRequest, *, public_id: str) -> HttpResponse:
    current = signed_in(request)
    found = sessions_beside(current)
    if current is None or not found:
        return not_signed_in()
    ended = [session for session in found if session.public_id == public_id]
    if not ended:
        return error(404, "session_not_found", "You have no session of this public_id.")
    # By its session id, which it keeps if it moves to a new key meanwhile.
    revoke_sessions(UserSessionsFilter.of_session(ended[0]))
    if ended[0].session_id == current.session_id:
        auth.logout(request)
    return HttpResponse(status=204)


@endpoint("sessions", "DELETE")
def others(request: HttpRequest) -> HttpResponse:
    current = signed_in(request)
    if current is None or not sessions_beside(current):
        return not_signed_in()
    elsewhere = UserSessionsFilter.of_subject(current, exclude_key=current.key)
    return JsonResponse({"ended": revoke_sessions(elsewhere)})


def sessions_beside(current: UserSession | None) -> list[UserSession]:
    """The live sessions of the same subject, newest renewal first; none if `current` has ended."""
    if current is None:
        return []
    now = datetime.now(UTC)
    found = [
        session
        for session in get_store().get_user_sessions(UserSessionsFilter.of_subject(current))
        if not is_over(session, now)
    ]
    # Where a cache served it, or since the request came in.
    return found if any(session.key == current.key for session in found) else []


def describe(session: UserSession, current: UserSession) -> dict[str, Any]:
    return {
        "public_id": session.public_id,
        "current": session.key == current.key,
        "created": session.created,
        "renewed": session.renewed,
        "expires": end_of(session),
    }
