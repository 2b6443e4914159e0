"""Permissions to see and to end sessions in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from bff_sessions.stores.orm.models import Session


class SessionPermissions(admin.ModelAdmin):  # type: ignore[type-arg]
    """Sessions are seen and ended. The admin neither adds nor changes them."""

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
