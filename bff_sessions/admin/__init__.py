"""Sessions for operators: to find and to end, never to change or to read.

- `filters`: what the list can be narrowed to, and the search
- `changelist`: one page of the list, in an order that an index gives
- `actions`: ends many sessions, after a page that says whose
- `overview`, `figures`, `charts`: how many there are, in numbers and pictures

Meant for a million sessions and more: nothing here counts or sorts the table, and the number of
statements does not depend on the number of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.actions import end_sessions, sign_out_subjects
from bff_sessions.admin.changelist import SessionChangeList
from bff_sessions.admin.filters import (
    PartitionFilter,
    SignInFilter,
    SinceFilter,
    StateFilter,
    search,
)
from bff_sessions.admin.overview import overview
from bff_sessions.live import is_live
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_session

__all__ = ["SessionAdmin"]

logger = logging.getLogger("bff_sessions.admin")


@admin.register(Session)
class SessionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    # Named one by one: the key and the ticket are for nobody's eyes.
    list_display = (
        "subject",
        "state",
        "session_id",
        "issuer",
        "user",
        "partition",
        "created",
        "renewed",
        "expires",
    )
    fields = ("subject_id", "state", *list_display[2:], "user_agent", "address", "last_seen")
    readonly_fields = fields
    list_filter = (StateFilter, SinceFilter, SignInFilter, PartitionFilter)
    # Each of them exactly, see get_search_results().
    search_fields = ("subject_id", "session_id", "user_id")
    search_help_text = _(
        "Exact subject, session id or user id. With iss:https://idp.example before it, "
        "of this issuer only; that alone finds all of the issuer."
    )
    ordering = ("-created", "-id")
    list_per_page = 50
    # No index would serve another order.
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = [end_sessions, sign_out_subjects]

    class Media:
        css = {"all": ["bff_sessions/admin.css"]}

    @admin.display(description=_("subject"))
    def subject(self, session: Session) -> str:
        return session.subject_id or str(_("anonymous"))

    @admin.display(description=_("state"))
    def state(self, session: Session) -> str:
        return str(_("live")) if is_live(session) else str(_("expired"))

    @admin.display(description=_("user"))
    def user(self, session: Session) -> str | None:
        url, name = getattr(session, "_link", (None, session.user_id))
        return format_html('<a href="{}">{}</a>', url, name) if url else name

    def link_users(self, request: HttpRequest, sessions: Iterable[Session]) -> None:
        """Let `sessions` know the page of their user, where the viewer may see it.

        One statement, however many they are.
        """
        model = get_user_model()
        if not self.admin_site.is_registered(model):
            return
        if not self.admin_site.get_model_admin(model).has_view_permission(request):
            return
        clean = model._meta.pk.clean
        keys: dict[str, Any] = {}
        for session in sessions:
            # The resolver says what a user id is: it need not be a key of this model.
            try:
                keys[str(session.user_id)] = clean(session.user_id, None)
            except ValidationError:
                continue
        found = model._default_manager.in_bulk(list(keys.values()))
        page = f"{self.admin_site.name}:{model._meta.app_label}_{model._meta.model_name}_change"
        for session in sessions:
            user = found.get(keys.get(str(session.user_id)))
            if user is not None:
                link = reverse(page, args=[user.pk]), user.get_username()
                session._link = link  # type: ignore[attr-defined]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        # From where sessions are written: a replica would show what has ended.
        rows = super().get_queryset(request).using(router.db_for_write(Session))
        return rows.defer("ticket", "lease_owner", "lease_until")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        return search(queryset, search_term, self.search_fields), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[SessionChangeList]:
        return SessionChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Session | None:
        session: Session | None = super().get_object(request, object_id, from_field)
        if session is not None:
            self.link_users(request, [session])
        return session

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.overview)
        return [path("overview/", view, name="bff_sessions_session_overview"), *super().get_urls()]

    def overview(self, request: HttpRequest) -> HttpResponse:
        return overview(self, request)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Django 6.1 names the page that offers the actions, and looks for the argument by its
        # name. The page of one session offers none of ours: its Delete button ends that session.
        where = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **where)
        # The site's own reads all rows to list them; end_sessions() stands in for it.
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Session], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(pk.isascii() and pk.isdecimal() and len(pk) < 19 for pk in selected):
            self.message_user(request, gettext("No session was chosen."), messages.WARNING)
            return None
        response: HttpResponse | None = super().response_action(request, queryset, *args, **kwargs)
        return response

    def message_user(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Show a message if that is possible: what it tells of has been done."""
        try:
            super().message_user(request, *args, **kwargs)
        except Exception as error:
            logger.warning("A message could not be shown: %s", type(error).__name__)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return request.user.has_perm("bff_sessions.view_session")

    def has_delete_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        # To delete a session is to end it.
        return self.has_end_permission(request)

    def has_end_permission(self, request: HttpRequest) -> bool:
        may = self.has_view_permission(request)
        return may and request.user.has_perm("bff_sessions.end_session")

    def has_sign_out_permission(self, request: HttpRequest) -> bool:
        may = self.has_view_permission(request)
        return may and request.user.has_perm("bff_sessions.sign_out_subject")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # ?key__startswith=... would spell a hidden column digit by digit, and others would have
        # the database read all rows. The filters and the search are what there is.
        return lookup in {spec.parameter_name for spec in self.list_filter}

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        self.end(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for session in queryset:
            self.end(session)

    def end(self, session: Session) -> bool:
        """End it, also if it moves to another key meanwhile. Whether there was one to end."""
        rows = Session._base_manager.using(router.db_for_write(Session)).filter(pk=session.pk)
        key: str | None = session.key
        while key is not None:
            if revoke_session(key):
                return True
            previous, key = key, rows.values_list("key", flat=True).first()
            if key == previous:  # A row that the configured store knows nothing of.
                break
        return False
