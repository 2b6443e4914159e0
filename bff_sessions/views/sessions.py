"""``sessions``: list and end the sessions of the signed-in user."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import auth
from django.http import HttpRequest, HttpResponse, JsonResponse

from bff_sessions.contract import (
    Actor,
    EndReason,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
)
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.live import end_of, is_live, iterate_live_sessions
from bff_sessions.views.endpoint import endpoint, error, not_signed_in, read_slide, signed_in

# Sessions in one answer.
PAGE: Final = 100


@endpoint("sessions", "GET", "HEAD")
def sessions(request: HttpRequest) -> HttpResponse:
    """Return a page of the live sessions of the signed-in user."""
    read_slide(request)
    current = still_signed_in(request)
    if current is None:
        return not_signed_in()
    try:
        page = page_of(current, after=request.GET.get("after"))
    except ValueError:
        return error(400, "invalid_cursor", "after must be the value of next in the previous page.")
    return JsonResponse(
        {
            "sessions": [describe(session, current) for session in page.sessions],
            "next": page.next_cursor,
        }
    )


@endpoint("sessions", "DELETE")
def session(request: HttpRequest, *, public_id: str) -> HttpResponse:
    """End one session of the signed-in user."""
    current = still_signed_in(request)
    if current is None:
        return not_signed_in()
    chosen = find_session(current, public_id)
    if chosen is None:
        return error(404, "session_not_found", "You have no session with this public_id.")
    # By its session ID, which it keeps if it moves to a new store key meanwhile.
    end_sessions_of_user(UserSessionsFilter.of_session(chosen), current)
    if chosen.session_id == current.session_id:
        auth.logout(request)
    return HttpResponse(status=204)


@endpoint("sessions", "DELETE")
def others(request: HttpRequest) -> HttpResponse:
    """End all other sessions of the signed-in user."""
    current = still_signed_in(request)
    if current is None:
        return not_signed_in()
    elsewhere = UserSessionsFilter.of_subject(current, exclude_key=current.key)
    ended = end_sessions_of_user(elsewhere, current)
    return JsonResponse({"ended": ended})


def still_signed_in(request: HttpRequest) -> UserSession | None:
    """Return the session of the signed-in user, without its ticket; None if it has ended.

    This reads the store: the request's session may come from a cache, or have ended since.
    """
    current = signed_in(request)
    if current is None:
        return None
    same = iterate_live_sessions(UserSessionsFilter.of_session(current))
    return next((session for session in same if session.key == current.key), None)


def end_sessions_of_user(filter: UserSessionsFilter, current: UserSession) -> int:
    """End the sessions that match for the user of `current`. Return how many were live."""
    is_own = filter.session_id is not None and filter.session_id == current.session_id
    reason = EndReason.SIGNED_OUT if is_own else EndReason.OTHER_BROWSER
    return revoke_sessions(filter, reason=reason, actor=Actor.of_session(current))


def sessions_beside(current: UserSession) -> Iterator[UserSession]:
    """Yield all live sessions of the same subject, newest sign-in first and without tickets."""
    return iterate_live_sessions(UserSessionsFilter.of_subject(current))


def find_session(current: UserSession, public_id: str) -> UserSession | None:
    """Return the live session of the same subject with this public ID; None without one."""
    return next((s for s in sessions_beside(current) if s.public_id == public_id), None)


def page_of(
    current: UserSession,
    *,
    after: str | None,
    limit: int = PAGE,
    exclude_key: str | None = None,
) -> UserSessionsPage:
    """Return a page of sessions_beside().

    Raises:
        ValueError: if `after` is not the `next_cursor` of a page.
    """
    now = datetime.now(UTC)
    page = get_store().query_user_sessions(
        UserSessionsFilter.of_subject(current, exclude_key=exclude_key), cursor=after, limit=limit
    )
    shown = [session for session in page.sessions if is_live(session, now)]
    # The newest sign-in is first, so all sessions after one that is not live are not live either.
    is_last = len(shown) < len(page.sessions)
    return UserSessionsPage(sessions=shown, next_cursor=None if is_last else page.next_cursor)


def describe(session: UserSession, current: UserSession) -> dict[str, Any]:
    """Return the values of `session` that the endpoint shows."""
    return {
        "public_id": session.public_id,
        "current": session.key == current.key,
        "created": session.created,
        "renewed": session.renewed,
        "expires": end_of(session),
    }
