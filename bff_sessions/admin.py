"""Sessions for operators: to find and to end, never to change or to read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db import router
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from bff_sessions.models import Session
from bff_sessions.revocation import revoke_session

__all__ = ["SessionAdmin"]


def _is_live() -> Q:
    return Q(expires=None) | Q(expires__gt=datetime.now(UTC))


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("live", _("live")), ("expired", _("expired"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        if self.value() == "live":
            return queryset.filter(_is_live())
        if self.value() == "expired":
            return queryset.exclude(_is_live())
        return queryset


class ProviderFilter(admin.SimpleListFilter):
    """Signed in at a provider, who can end the session, or without: see the log, too."""

    title = _("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("with", _("with provider")), ("without", _("without provider"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        if self.value() == "with":
            return queryset.filter(issuer__isnull=False)
        if self.value() == "without":
            return queryset.filter(issuer=None, user_id__isnull=False)
        return queryset


@admin.register(Session)
class SessionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    # Named one by one: the key and the ticket are for nobody's eyes.
    fields = (
        "subject_id",
        "session_id",
        "issuer",
        "user_id",
        "partition",
        "created",
        "renewed",
        "expires",
        "user_agent",
        "address",
        "last_seen",
    )
    readonly_fields = fields
    list_display = (
        "subject",
        "is_live",
        "session_id",
        "issuer",
        "user_id",
        "partition",
        "created",
        "renewed",
        "expires",
    )
    list_filter = (StateFilter, ProviderFilter)
    # Each of them exactly, see get_search_results().
    search_fields = ("subject_id", "session_id", "user_id")
    search_help_text = _("Exact subject, session id or user id")
    ordering = ("-id",)
    show_full_result_count = False

    @admin.display(description=_("subject"), ordering="subject_id")
    def subject(self, session: Session) -> str:
        return session.subject_id or str(_("anonymous"))

    @admin.display(description=_("live"), boolean=True)
    def is_live(self, session: Session) -> bool:
        return session.expires is None or session.expires > datetime.now(UTC)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        return super().get_queryset(request).defer("ticket")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        # The whole term, exactly: a subject may contain blanks and quotes.
        if search_term:
            names = Q(*[(name, search_term) for name in self.search_fields], _connector=Q.OR)
            queryset = queryset.filter(names)
        return queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # ?key__startswith=... would spell a hidden column digit by digit.
        if lookup.partition("__")[0] in ("key", "ticket"):
            return False
        return super().lookup_allowed(lookup, value, request)

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        self._end(obj.pk, obj.key)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for pk, key in queryset.values_list("pk", "key"):
            self._end(pk, key)

    def _end(self, pk: int, key: str | None) -> None:
        """End the session of the row `pk`, also if it moves to another key meanwhile."""
        rows = Session._base_manager.using(router.db_for_write(Session)).filter(pk=pk)
        while key is not None and not revoke_session(key):
            previous, key = key, rows.values_list("key", flat=True).first()
            if key == previous:  # A row that the configured store knows nothing of.
                break
