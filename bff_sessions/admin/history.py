"""The history in the admin: what has happened to the sessions of a subject.

It needs the app `bff_sessions.history`, and a permission of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.admin import AdminSite, ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bff_sessions import conf
from bff_sessions.admin import cells
from bff_sessions.admin.charts import grouped
from bff_sessions.admin.forms import ExactForm
from bff_sessions.admin.users import find_user_ids, find_user_names
from bff_sessions.contract import ANY, ActorKind
from bff_sessions.device.user_agents import describe_user_agent
from bff_sessions.history import texts
from bff_sessions.history.reading import WINDOW, EventsFilter, is_installed, read_page
from bff_sessions.stores.orm.models import Session

_PAGE: Final = 50
_CURSOR: Final = "before"


class HistoryForm(ExactForm):
    """The values that an event must have; without any of them, all events are shown."""

    help = _("Each value must be exact. Without a value, the list shows all sessions.")

    def to_filter(self, site: AdminSite, request: HttpRequest) -> EventsFilter | None:
        """Return the filter; None if nothing can match."""
        if not self.is_bound:
            return EventsFilter()
        if not self.is_valid():  # A text has a NUL, for example.
            return None
        given = self.cleaned_data
        if given["issuer"] and given["local"]:
            return None
        user = given["user"]
        return EventsFilter(
            subject_id=given["subject"] or None,
            user_ids=[user, *find_user_ids(site, request, user)] if user else [],
            issuer=None if given["local"] else given["issuer"] or ANY,
        )


def may_see_history(request: HttpRequest) -> bool:
    """Return whether the site has a history that the viewer may see."""
    needed = "bff_sessions.view_session", "bff_sessions_history.view_event"
    return is_installed() and request.user.has_perms(needed)


def query_of(session: Session) -> str:
    """Return the query string of the history of the subject of `session`."""
    whose = {"local": "on"} if session.issuer is None else {"issuer": session.issuer}
    return urlencode({"subject": session.subject_id, **whose})


def events_page(model_admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Render a page of the history, newest first.

    Raises:
        Http404: if the site has no history.
        PermissionDenied: if the viewer may not see it.
    """
    if not is_installed():
        raise Http404
    if not may_see_history(request):
        raise PermissionDenied
    form, cursor = HistoryForm(request.GET), request.GET.get(_CURSOR)
    filter = form.to_filter(model_admin.admin_site, request)
    page = None if filter is None else read_page(filter, cursor=cursor, limit=_PAGE)
    events = [] if page is None else list(page.events)
    query = {name: request.GET[name] for name in form.fields if request.GET.get(name)}
    after = None if page is None else page.next_cursor
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _title(request.GET.get("subject")),
        "opts": model_admin.opts,
        "form": form,
        "events": _describe(model_admin.admin_site, request, events),
        "is_search": form.is_bound,
        "looked_at": grouped(WINDOW) if page is not None and page.is_cut else None,
        "first_page": None if cursor is None else f"?{urlencode(query)}",
        "next_page": None if after is None else f"?{urlencode({**query, _CURSOR: after})}",
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/bff_sessions/session/history.html", context)


def _title(subject: str | None) -> str:
    if not subject:
        return gettext("History of sessions")
    return gettext("History of the sessions of %(subject)s") % {"subject": subject}


def _describe(site: AdminSite, request: HttpRequest, events: Iterable[Any]) -> list[dict[str, Any]]:
    """Return what the page shows of each event."""
    users = {event.user_id for event in events if event.user_id is not None}
    kind = ActorKind.USER.value
    actors = {event.actor_id for event in events if event.actor_kind == kind}
    names = find_user_names(site, request, users | actors)
    return [
        {
            "time": cells.short(event.moment),
            "what": texts.describe(event),
            "by": texts.describe_actor(event, names.get(event.actor_id)),
            "subject": event.subject_id,
            "user": names.get(event.user_id),
            # As in the list of sessions: without what is the same in all of them.
            "issuer": event.issuer and event.issuer.removeprefix("https://"),
            "partition": None if event.partition == conf.PARTITION else event.partition,
            "public_id": event.public_id[:8],
            "device": describe_user_agent(event.user_agent) or event.user_agent,
            "address": event.address,
        }
        for event in events
    ]
