"""``my-sessions``: the pages on which people see where they are signed in, and end that.

For who has no front end of their own for it; `sessions` is the same for fetch(). What is shown is
in ``templates/bff_sessions``, to be overridden.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy
from django.views.decorators.clickjacking import xframe_options_deny

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.device.user_agents import describe_user_agent
from bff_sessions.revocation import revoke_sessions
from bff_sessions.views.endpoint import endpoint, url_of
from bff_sessions.views.login import login_url
from bff_sessions.views.sessions import (
    PAGE,
    find_session,
    page_of,
    sessions_beside,
    still_signed_in,
)

__all__ = ["end_my_session", "end_other_sessions", "my_sessions"]

logger = logging.getLogger("bff_sessions.views")

# Whole phrases, as "2 days" alone may be another word in other languages than in "2 days ago".
# Those of django.contrib.humanize are translated only where it is installed.
_AGO: Final[dict[str, Any]] = {
    "year": ngettext_lazy("%(num)d year ago", "%(num)d years ago", "num"),
    "month": ngettext_lazy("%(num)d month ago", "%(num)d months ago", "num"),
    "week": ngettext_lazy("%(num)d week ago", "%(num)d weeks ago", "num"),
    "day": ngettext_lazy("%(num)d day ago", "%(num)d days ago", "num"),
    "hour": ngettext_lazy("%(num)d hour ago", "%(num)d hours ago", "num"),
    "minute": ngettext_lazy("%(num)d minute ago", "%(num)d minutes ago", "num"),
}


@xframe_options_deny
@endpoint("my-sessions", "GET", "HEAD", needs_header=False)
def my_sessions(request: HttpRequest) -> HttpResponse:
    current = still_signed_in(request)
    if current is None:
        return sign_in(request)
    after = request.GET.get("after")
    # The current session comes first, on the first page only.
    leading = [current] if after is None else []
    try:
        others = page_of(current, after=after, limit=PAGE - len(leading), exclude_key=current.key)
    except ValueError:
        # A link from before the store was replaced: begin again.
        return HttpResponseRedirect(url_of(request, "my-sessions"))
    shown = [describe(session, current) for session in [*leading, *others.sessions]]
    for session in shown:
        session["end_url"] = url_of(request, "end-my-session", public_id=session["public_id"])
    return show(
        request,
        "my_sessions",
        sessions=shown,
        end_others_url=url_of(request, "end-other-sessions"),
        has_others=bool(others.sessions),
        after=after,
        next=others.next_cursor,
        logout_url=url_of(request, "logout") if "logout" in conf.ENDPOINTS else None,
    )


@xframe_options_deny
@endpoint("my-sessions", "GET", "HEAD", "POST", needs_header=False)
def end_my_session(request: HttpRequest, *, public_id: str) -> HttpResponse:
    """Asks, and does it when the answer is posted."""
    current = still_signed_in(request)
    if current is None:
        return sign_in(request)
    chosen = find_session(current, public_id)
    if chosen is None:
        # Of somebody else, made up, or ended meanwhile, perhaps by a second click: no telling.
        return back_to_list(request, messages.INFO, _("That session has ended already."))
    if request.method != "POST":
        return show(request, "end_my_session", session=describe(chosen, current))
    # By its session id, which it keeps if it moves to a new key meanwhile.
    revoke_sessions(UserSessionsFilter.of_session(chosen))
    if chosen.session_id == current.session_id:
        auth.logout(request)
        return HttpResponseRedirect(login_url(None))
    return back_to_list(request, messages.SUCCESS, _("The session has ended."))


@xframe_options_deny
@endpoint("my-sessions", "GET", "HEAD", "POST", needs_header=False)
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """See end_my_session()."""
    current = still_signed_in(request)
    if current is None:
        return sign_in(request)
    if request.method != "POST":
        number = sum(session.key != current.key for session in sessions_beside(current))
        return show(request, "end_other_sessions", number=number)
    ended = revoke_sessions(UserSessionsFilter.of_subject(current, exclude_key=current.key))
    text = ngettext("%(number)d session has ended.", "%(number)d sessions have ended.", ended)
    return back_to_list(request, messages.SUCCESS, text % {"number": ended})


def describe(session: UserSession, current: UserSession) -> dict[str, Any]:
    """What a page shows of `session`. Its key is not among that."""
    now = datetime.now(UTC)
    seen = max(session.renewed, session.last_seen or session.renewed)
    is_current = session.key == current.key
    return {
        "public_id": session.public_id,
        "is_current": is_current,
        "device": describe_user_agent(session.user_agent),
        "address": session.address,
        "signed_in": session.created,
        "signed_in_words": ago(session.created, now),
        "seen": now if is_current else seen,
        "seen_words": ago(now if is_current else seen, now),
    }


def ago(moment: datetime, now: datetime) -> str:
    """`moment` in words, seen from `now`."""
    if (now - moment).total_seconds() < 60:
        return _("just now")
    return timesince(moment, now, time_strings=_AGO, depth=1)


def sign_in(request: HttpRequest) -> HttpResponse:
    """To where people sign in, and from there to the list."""
    return HttpResponseRedirect(login_url(url_of(request, "my-sessions")))


def back_to_list(request: HttpRequest, level: int, text: str) -> HttpResponse:
    # Without the messages framework, or where it fails, the list itself says what has ended.
    try:
        messages.add_message(request, level, text, fail_silently=True)
    except Exception as error:
        logger.warning("A message could not be shown: %s", type(error).__name__)
    return HttpResponseRedirect(url_of(request, "my-sessions"))


def show(request: HttpRequest, page: str, **context: Any) -> HttpResponse:
    context |= {
        "messages": messages.get_messages(request),
        "list_url": url_of(request, "my-sessions"),
    }
    return render(request, f"bff_sessions/{page}.html", context)
