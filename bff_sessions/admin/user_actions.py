"""The action of the admin of users that ends all their sessions.

`django.contrib.auth.admin.UserAdmin` and its subclasses have it by themselves. An admin class of
users that derives from another one inherits from `SignOutUsers`.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.faults import StoreFailed, store_errors
from bff_sessions.contract import Actor, EndReason
from bff_sessions.revocation import revoke_user_sessions

# A request must not take minutes.
_MAX_USERS: Final = 500


@admin.action(
    description=_("Sign the selected users out everywhere"), permissions=["sign_out_user"]
)
def sign_out_users(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """End all sessions of the users in `queryset` in this partition, after a confirmation."""
    users = list(queryset[: _MAX_USERS + 1])
    if len(users) > _MAX_USERS:
        text = gettext("Select %(number)d users at most.") % {"number": _MAX_USERS}
        model_admin.message_user(request, text, messages.ERROR)
        return None
    if request.POST.get("post"):
        _sign_out(model_admin, request, users)
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Sign the selected users out everywhere"),
        "opts": model_admin.opts,
        "back": request.get_full_path(),
        "users": users,
        "has_own": request.user in users,
        "action": "sign_out_users",
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/bff_sessions/session/sign_out_users.html", context)


def _sign_out(model_admin: Any, request: HttpRequest, users: list[Any]) -> None:
    total, actor = 0, Actor.of_user(request.user)
    try:
        for user in users:
            with store_errors():
                ended = revoke_user_sessions(user, reason=EndReason.OPERATOR, actor=actor)
            if ended:
                total += ended
                model_admin.log_change(request, user, f"Signed out everywhere: {ended}")
    except StoreFailed:
        text = gettext("The store of sessions does not answer. Some sessions may have ended.")
        model_admin.message_user(request, text, messages.ERROR)
        return
    text = ngettext("%(number)d session has ended.", "%(number)d sessions have ended.", total)
    model_admin.message_user(request, text % {"number": total}, messages.SUCCESS)


class SignOutUsers(admin.ModelAdmin):  # type: ignore[type-arg]
    """Adds the action to an admin class of users."""

    actions = [sign_out_users]

    def has_sign_out_user_permission(self, request: HttpRequest) -> bool:
        """Return whether the operator may end all sessions of a user."""
        return request.user.has_perm("bff_sessions.sign_out_subject")


def add_to_user_admin() -> None:
    """Add the action to Django's `UserAdmin`, whichever sites and models it is registered with."""
    base: Any = UserAdmin
    if sign_out_users not in base.actions:
        base.actions = [*base.actions, sign_out_users]
        base.has_sign_out_user_permission = SignOutUsers.has_sign_out_user_permission
