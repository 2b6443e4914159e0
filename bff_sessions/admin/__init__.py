"""The admin of sessions: operators find and end sessions, and never read or change their data.

- `columns`: the columns of `SessionAdmin.list_display`, and the rows of the page of one session
- `cells`: what they show of one session
- `pages`: chooses the source for the configured store, and answers when the store fails
- `sources`: what the pages need from a store
- `rows`, `changelist`, `filters`: the source for the ORM store
- `contract`: the source for any other store
- `paging`, `forms`: what the lists and search forms share
- `users`: the names of users, links to their pages, and the search by name
- `user_actions`: the action of the admin of users that ends all their sessions
- `ending`: ends one session
- `actions`, `preview`: end many sessions, after a page that counts the live ones
- `overview`, `figures`, `charts`: how many rows there are, in numbers and charts
- `history`: what has happened to sessions, if the app `bff_sessions.history` is installed
- `kept`: figures in Django's cache

On the ORM store, the pages work with ten million sessions and more: no statement counts or sorts
the whole table, and the number of statements does not depend on the number of sessions.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.db import router
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin import cells
from bff_sessions.admin.actions import end_sessions, sign_out_subjects
from bff_sessions.admin.columns import SessionColumns
from bff_sessions.admin.faults import SessionGone
from bff_sessions.admin.filters import (
    PartitionFilter,
    SignInFilter,
    SinceFilter,
    StateFilter,
    search,
    split_term,
)
from bff_sessions.admin.history import events_page, may_see_history, query_of
from bff_sessions.admin.overview import overview
from bff_sessions.admin.pages import StorePages
from bff_sessions.admin.user_actions import SignOutUsers, add_to_user_admin
from bff_sessions.admin.users import find_user_ids, link_users
from bff_sessions.contract import Actor
from bff_sessions.stores.live import is_live
from bff_sessions.stores.orm.models import Session

__all__ = ["SessionAdmin", "SignOutUsers"]

add_to_user_admin()


@admin.register(Session)
class SessionAdmin(SessionColumns, StorePages):
    """List, show and end sessions."""

    # Listed one by one, because store key and ticket must not be shown.
    list_display = ("subject", "device", "signed_in", "seen", "expiry", "state", "provider")
    fields = (
        "name",
        "sub",
        "state",
        "sid",
        "iss",
        "partition",
        "begun",
        "renewed",
        "last_use",
        "ends",
        "device_name",
        "address",
        "agent",
    )
    readonly_fields = fields
    list_filter = (StateFilter, SinceFilter, SignInFilter, PartitionFilter)
    # get_search_results() matches each of them exactly.
    search_fields = ("subject_id", "session_id", "user_id")
    search_help_text = _(
        "Enter an exact subject, session ID, user name or user ID. Put iss:https://idp.example "
        "before it to search one issuer only, or enter that alone to find all sessions of the "
        "issuer."
    )
    ordering = ("-created", "-id")
    list_per_page = 50
    # No index supports another order.
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = [end_sessions, sign_out_subjects]

    class Media:
        css = {"all": ["bff_sessions/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        # Reads the database that sessions are written to: a replica may still show ended sessions.
        sessions = super().get_queryset(request).using(router.db_for_write(Session))
        return sessions.defer("ticket", "lease_owner", "lease_until")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        _issuer, name = split_term(search_term)
        users = find_user_ids(self.admin_site, request, name) if name else []
        return search(queryset, search_term, self.search_fields, users), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"has_history": may_see_history(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return self.source.changelist

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Session:
        session = self.source.find(self, request, object_id)
        if session is None:
            raise SessionGone
        link_users(self.admin_site, request, [session])
        cells.mark_own(request, [session])
        return session

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Session | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= self._describe(request, obj) | {
                "title": gettext("Session of %(subject)s") % {"subject": cells.title(obj)},
                "subtitle": str(obj),
                # The link at the top of the page says "End", because that is what it does.
                "show_delete": False,
                "may_sign_out": obj.subject_id is not None
                and self.has_sign_out_permission(request),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        obj = context["object"]
        context |= self._describe(request, obj) | {
            "title": gettext("End the session of %(subject)s?") % {"subject": cells.title(obj)},
            "rows": [
                (_("subject"), obj.subject_id or gettext("anonymous")),
                (_("session ID"), obj.session_id),
                (_("issuer"), obj.issuer),
                (_("device"), cells.device(obj)),
                (_("signed in"), obj.created),
                (_("last seen"), cells.seen(obj)),
                (_("state"), cells.state(obj)),
            ],
        }
        return super().render_delete_form(request, context)

    def _describe(self, request: HttpRequest, session: Session) -> dict[str, Any]:
        """Return what the templates of one session need."""
        subject_url = events_url = None
        if session.subject_id is not None:
            query = urlencode(self.source.subject_query(session))
            subject_url = f"{self.page_url('changelist')}?{query}"
            if may_see_history(request):
                events_url = f"{self.page_url('events')}?{query_of(session)}"
        return {
            "is_own": cells.is_own(session),
            "is_live": is_live(session),
            "list_url": self.list_url(request),
            "subject_url": subject_url,
            "events_url": events_url,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        text = gettext("The session has ended: %(session)s") % {"session": obj_display}
        self.message_user(request, text, messages.SUCCESS)
        # Django's goes back to the list only if the user may change sessions.
        return HttpResponseRedirect(self.list_url(request))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.overview)
        events = self.admin_site.admin_view(self.subject_history)
        return [
            path("overview/", view, name="bff_sessions_session_overview"),
            path("events/", events, name="bff_sessions_session_events"),
            *super().get_urls(),
        ]

    def overview(self, request: HttpRequest) -> HttpResponse:
        if not self.source.has_overview:
            raise Http404
        return overview(self, request)

    def subject_history(self, request: HttpRequest) -> HttpResponse:
        return events_page(self, request)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Django 6.1 passes the page that offers the actions, and finds the argument by its name.
        # The page of one session offers none of these actions: its Delete button ends the session.
        where = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **where)
        # delete_selected reads all sessions to list them; end_sessions() replaces it.
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def response_action(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(map(self.source.is_reference, selected)):
            self.message_user(request, gettext("No session was selected."), messages.WARNING)
            return None
        response: HttpResponse | None = super().response_action(request, queryset, *args, **kwargs)
        return response

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return request.user.has_perm("bff_sessions.view_session")

    def has_delete_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        # Deleting a session ends it.
        return self.has_end_permission(request)

    def has_end_permission(self, request: HttpRequest) -> bool:
        may = self.has_view_permission(request)
        return may and request.user.has_perm("bff_sessions.end_session")

    def has_sign_out_permission(self, request: HttpRequest) -> bool:
        may = self.has_view_permission(request)
        return may and request.user.has_perm("bff_sessions.sign_out_subject")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # ?key__startswith=... would reveal a hidden column digit by digit, and other lookups would
        # make the database read the whole table. Only the filters' own parameters are allowed.
        return lookup in {spec.parameter_name for spec in self.list_filter}

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        if not self.source.end(obj, Actor.of_user(request.user)):
            raise SessionGone  # Takes back the entry in the log.

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for session in queryset:
            self.source.end(session, Actor.of_user(request.user))
