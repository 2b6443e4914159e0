"""The admin of sessions: operators find and end sessions, and never read or change their data.

- `columns`: the columns of `SessionAdmin.list_display`, and the rows of the page of one session
- `cells`: what they show of one session
- `permissions`: who may see and end sessions
- `session_page`: the page of one session
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
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.actions import end_sessions, sign_out_subjects
from bff_sessions.admin.columns import SessionColumns
from bff_sessions.admin.filters import (
    PartitionFilter,
    SignInFilter,
    SinceFilter,
    StateFilter,
    search,
    split_term,
)
from bff_sessions.admin.history import events_page, may_see_history
from bff_sessions.admin.overview import overview
from bff_sessions.admin.session_page import SessionPage
from bff_sessions.admin.user_actions import SignOutUsers, add_to_user_admin
from bff_sessions.admin.users import find_user_ids
from bff_sessions.contract import Actor
from bff_sessions.stores.orm.models import Session
from bff_sessions.stores.orm.sampling import using

__all__ = ["SessionAdmin", "SignOutUsers"]

add_to_user_admin()


@admin.register(Session)
class SessionAdmin(SessionColumns, SessionPage):
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
        "renewal",
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
        sessions = super().get_queryset(request).using(using())
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

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # ?key__startswith=... would reveal a hidden column digit by digit, and other lookups would
        # make the database read the whole table. Only the filters' own parameters are allowed.
        return lookup in {spec.parameter_name for spec in self.list_filter}

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for session in queryset:
            self.source.end(session, Actor.of_user(request.user))
