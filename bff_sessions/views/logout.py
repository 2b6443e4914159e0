"""``POST logout``: the session ends here, and then at the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.views.decorators.debug import sensitive_variables

from bff_sessions import conf
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.views.endpoint import endpoint, session_of, url_of
from bff_sessions.views.local import is_local

__all__ = ["logout", "logout_callback"]


@endpoint("logout", "POST", needs_header=False)
@sensitive_variables()
def logout(request: HttpRequest) -> HttpResponse:
    return_to = request.POST.get("return_to", "")
    data = dict(request.session.items())
    current = session_of(request).get_user_session()
    # What is anonymous stays: a cart. What does not open may be somebody's.
    if current is None or current.subject_id is not None:
        if current is not None:
            # Told by what deletes it, so that the refresh token is the one that it held last.
            revoke_sessions(UserSessionsFilter.of_session(current))
        auth.logout(request)
    url = None if current is None else end_session_url(request, current.issuer, data, return_to)
    return HttpResponseRedirect(url or local_url(return_to))


# On every database: whatever goes wrong afterwards, the session has ended.
for _alias in connections:
    transaction.non_atomic_requests(_alias)(logout)


@endpoint("logout", "GET", "HEAD", needs_header=False)
def logout_callback(request: HttpRequest) -> HttpResponse:
    """The provider sends the browser back here, the one address to be registered there."""
    return HttpResponseRedirect(local_url(request.GET.get("state", "")))


@sensitive_variables()
def end_session_url(
    request: HttpRequest, issuer: str | None, data: Mapping[str, Any], return_to: str
) -> str | None:
    """Where the session at the provider ends; None if there is no provider, or it cannot."""
    if issuer is None or issuer not in conf.PROVIDERS:
        return None
    from bff_sessions.oidc import end_session  # Needs the extra.

    callback = request.build_absolute_uri(url_of(request, "logout-callback"))
    return end_session.get_url(
        issuer,
        id_token_hint=end_session.find_id_token(data, issuer),
        post_logout_redirect_uri=callback,
        state=return_to if is_local(return_to) else None,
    )


def local_url(return_to: str) -> str:
    """`return_to`, or where Django leads after signing out."""
    return return_to if is_local(return_to) else resolve_url(settings.LOGOUT_REDIRECT_URL or "/")
