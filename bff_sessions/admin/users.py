"""The users of sessions: their names, links to their pages, and the search by name.

The identity resolver decides what the user ID of a session is: it need not be the primary key of a
user. Users may also live in another database than sessions, so that no statement joins the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from bff_sessions.contract import can_be_kept
from bff_sessions.stores.orm.models import Session

# A name need not be unique. This many users of one name are searched.
_NAMESAKES: Final = 100


def name_of(session: Session) -> str | None:
    """Return the user name that link_users() has found; None if there is none."""
    _url, name = getattr(session, "_link", (None, None))
    return name


def user_link(session: Session) -> str | None:
    """Return the link that link_users() has found; the user ID if there is none."""
    url, name = getattr(session, "_link", (None, session.user_id))
    return format_html('<a href="{}" class="bff-id">{}</a>', url, name) if url else name


def link_users(site: AdminSite, request: HttpRequest, sessions: Iterable[Session]) -> None:
    """Link each session to the page of its user, if the viewer may see that page.

    All users are read in one statement.
    """
    sessions = list(sessions)
    found = _find_users(site, request, {str(session.user_id) for session in sessions})
    opts = get_user_model()._meta
    page = f"{site.name}:{opts.app_label}_{opts.model_name}_change"
    for session in sessions:
        user = found.get(str(session.user_id))
        if user is not None:
            link = reverse(page, args=[user.pk]), user.get_username()
            session._link = link  # type: ignore[attr-defined]


def find_user_names(
    site: AdminSite, request: HttpRequest, user_ids: Iterable[str]
) -> dict[str, str]:
    """Return the names of users by their IDs, as far as there are such users.

    It is empty if the viewer may not see users.
    """
    found = _find_users(site, request, user_ids)
    return {user_id: user.get_username() for user_id, user in found.items()}


def find_user_ids(site: AdminSite, request: HttpRequest, name: str) -> list[str]:
    """Return the user IDs of the users with exactly this name, if the viewer may see users."""
    if not (can_be_kept(name) and _may_see_users(site, request)):
        return []
    model: Any = get_user_model()
    try:
        wanted = model._meta.get_field(model.USERNAME_FIELD).to_python(name)
    except ValidationError:
        return []  # Users have numbers for names, for example.
    users = model._default_manager.filter(**{model.USERNAME_FIELD: wanted})[:_NAMESAKES]
    # Some databases ignore case and trailing blanks. The user ID is the text that login() stores.
    to_string = model._meta.pk.value_to_string
    return [to_string(user) for user in users if str(user.get_username()) == name]


def _find_users(site: AdminSite, request: HttpRequest, user_ids: Iterable[str]) -> dict[str, Any]:
    """Return users by their IDs, in one statement; none if the viewer may not see them."""
    if not _may_see_users(site, request):
        return {}
    model = get_user_model()
    clean = model._meta.pk.clean
    keys: dict[str, Any] = {}
    for user_id in user_ids:
        try:
            keys[user_id] = clean(user_id, None)
        except ValidationError:
            continue
    found = model._default_manager.in_bulk(list(keys.values()))
    return {user_id: found[key] for user_id, key in keys.items() if key in found}


def _may_see_users(site: AdminSite, request: HttpRequest) -> bool:
    model = get_user_model()
    return site.is_registered(model) and site.get_model_admin(model).has_view_permission(request)
