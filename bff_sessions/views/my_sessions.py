"""``my-sessions``: the pages on which users see and end their sessions.

They are for sites whose front end has no such page; `sessions` does the same for fetch(). A project
can override the templates in ``templates/bff_sessions``.
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
from bff_sessions.stores.live import last_seen
from bff_sessions.views.endpoint import endpoint, url_of
from bff_sessions.views.login import login_url
from bff_sessions.views.sessions import (
    end_sessions_of_user,
    find_session,
    page_of,
    sessions_beside,
    still_signed_in,
)

logger = logging.getLogger("bff_sessions.views")

# Sessions on one page: a person reads them, on a phone perhaps.
_PAGE: Final = 20
# Whole phrases, because other languages may inflect "2 days" in "2 days ago". The phrases of
# django.contrib.humanize are translated only if it is installed.
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
    """Show the live sessions of the signed-in user."""
    current = still_signed_in(request)
    if current is None:
        return sign_in(request)
    after = request.GET.get("after")
    # The current session comes first, on the first page only.
    leading = [current] if after is None else []
    try:
        others = page_of(current, after=after, limit=_PAGE - len(leading), exclude_key=current.key)
    except ValueError:
        # Another store wrote the cursor in this link: show the first page.
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
    """Ask whether to end the session, and end it when the answer is posted."""
    current = still_signed_in(request)
    if current is None:
        return sign_in(request)
    chosen = find_session(current, public_id)
    if chosen is None:
        # One answer for all cases: another user's session, an invented one, or one that has ended.
        return back_to_list(request, messages.INFO, _("That session has already ended."))
    if request.method != "POST":
        return show(request, "end_my_session", session=describe(chosen, current))
    # By its session ID, which it keeps if it moves to a new store key meanwhile.
    end_sessions_of_user(UserSessionsFilter.of_session(chosen), current)
    if chosen.session_id == current.session_id:
        auth.logout(request)
        return HttpResponseRedirect(login_url(None))
    return back_to_list(request, messages.SUCCESS, _("The session has ended."))


@xframe_options_deny
@endpoint("my-sessions", "GET", "HEAD", "POST", needs_header=False)
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """Ask whether to end all other sessions, and end them when the answer is posted."""
    current = still_signed_in(request)
    if current is None:
        return sign_in(request)
    if request.method != "POST":
        number = sum(session.key != current.key for session in sessions_beside(current))
        return show(request, "end_other_sessions", number=number)
    elsewhere = UserSessionsFilter.of_subject(current, exclude_key=current.key)
    ended = end_sessions_of_user(elsewhere, current)
    text = ngettext("%(number)d session has ended.", "%(number)d sessions have ended.", ended)
    return back_to_list(request, messages.SUCCESS, text % {"number": ended})


def describe(session: UserSession, current: UserSession) -> dict[str, Any]:
    """Return the values of `session` that a page shows. They do not include its store key."""
    now = datetime.now(UTC)
    is_current = session.key == current.key
    return {
        "public_id": session.public_id,
        "is_current": is_current,
        "device": describe_user_agent(session.user_agent),
        "network": describe_network(session.address, current.address),
        "signed_in": session.created,
        "signed_in_words": ago(session.created, now),
        "seen": now if is_current else last_seen(session),
        "seen_words": ago(now if is_current else last_seen(session), now),
    }


def describe_network(address: str | None, current: str | None) -> str | None:
    """Return `address` in words as far as comparing it with the `current` one allows.

    Both are addresses or networks, as BFF_SESSIONS["DEVICE"] stores them. An address does not say
    in which place a person was, so no place is shown.
    """
    if address is None:
        return None
    if address == current:
        return _("This network, %(address)s") % {"address": address}
    # A device may use IPv4 and IPv6 in one network: then their addresses do not compare.
    if current is not None and (":" in address) == (":" in current):
        return _("Another network, %(address)s") % {"address": address}
    return address


def ago(time: datetime, now: datetime) -> str:
    """Return the time between `time` and `now` in words."""
    if (now - time).total_seconds() < 60:
        return _("just now")
    return timesince(time, now, time_strings=_AGO, depth=1)


def sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the login library, which then returns to the list."""
    return HttpResponseRedirect(login_url(url_of(request, "my-sessions")))


def back_to_list(request: HttpRequest, level: int, text: str) -> HttpResponse:
    """Redirect to the list, with a message if possible."""
    # The message is optional, because the list itself shows which sessions are left.
    try:
        messages.add_message(request, level, text, fail_silently=True)
    except Exception as error:
        logger.warning("A message could not be shown: %s", type(error).__name__)
    return HttpResponseRedirect(url_of(request, "my-sessions"))


def show(request: HttpRequest, page: str, **context: Any) -> HttpResponse:
    """Render the template of `page`."""
    context |= {
        "messages": messages.get_messages(request),
        "list_url": url_of(request, "my-sessions"),
        "bff_url": _bff_url(request),
        "sessions_url": url_of(request, "sessions") if "sessions" in conf.ENDPOINTS else "",
    }
    return render(request, f"bff_sessions/{page}.html", context)


def _bff_url(request: HttpRequest) -> str | None:
    """Return the path of the endpoints that a watched page uses; None if one is switched off."""
    if not {"user", "events"} <= set(conf.ENDPOINTS):
        return None
    return url_of(request, "user").removesuffix("user")
