"""Links from sessions to the admin's pages of their users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from bff_sessions.stores.orm.models import Session


def user_link(session: Session) -> str | None:
    """Return the link that link_users() has found; the user ID if there is none."""
    url, name = getattr(session, "_link", (None, session.user_id))
    return format_html('<a href="{}">{}</a>', url, name) if url else name


def link_users(site: AdminSite, request: HttpRequest, sessions: Iterable[Session]) -> None:
    """Link each session to the page of its user, if the viewer may see that page.

    All users are read in one statement.
    """
    model = get_user_model()
    if not site.is_registered(model):
        return
    if not site.get_model_admin(model).has_view_permission(request):
        return
    clean = model._meta.pk.clean
    keys: dict[str, Any] = {}
    for session in sessions:
        # The identity resolver decides what a user ID is: it need not be a key of this model.
        try:
            keys[str(session.user_id)] = clean(session.user_id, None)
        except ValidationError:
            continue
    found = model._default_manager.in_bulk(list(keys.values()))
    page = f"{site.name}:{model._meta.app_label}_{model._meta.model_name}_change"
    for session in sessions:
        user = found.get(keys.get(str(session.user_id)))
        if user is not None:
            link = reverse(page, args=[user.pk]), user.get_username()
            session._link = link  # type: ignore[attr-defined]
