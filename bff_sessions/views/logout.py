"""``POST logout``: the session ends here, and then at the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import get_script_prefix

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores.databases.atomic import non_atomic_requests
from bff_sessions.views.endpoint import endpoint, session_of, url_of
from bff_sessions.views.local import local_target

__all__ = ["logout", "logout_callback"]


# Whatever goes wrong afterwards, the session has ended.
@non_atomic_requests
@endpoint("logout", "POST", needs_header=False)
def logout(request: HttpRequest) -> HttpResponse:
    target = local_target(request.POST.get("return_to"))
    data = dict(request.session.items())
    current = session_of(request).get_user_session()
    # What is anonymous stays: a cart. What does not open may be somebody's.
    if current is None or current.subject_id is not None:
        if current is not None:
            # Told by what deletes it, so that the refresh token is the one that it held last.
            revoke_sessions(UserSessionsFilter.of_session(current))
        auth.logout(request)
    url = end_session_url(request, issuer_of(current), data, target)
    return HttpResponseRedirect(url or target or default_target())


@endpoint("logout", "GET", "HEAD", needs_header=False)
def logout_callback(request: HttpRequest) -> HttpResponse:
    """The provider sends the browser back here, the one address to be registered there."""
    return HttpResponseRedirect(local_target(request.GET.get("state")) or default_target())


def issuer_of(current: UserSession | None) -> str | None:
    """Return the provider at which the browser may have a session; None if there is none."""
    if current is not None and current.subject_id is not None:
        return current.issuer if current.issuer in conf.PROVIDERS else None
    # The session expired here, and its issuer with it. One provider is the only candidate.
    return next(iter(conf.PROVIDERS)) if len(conf.PROVIDERS) == 1 else None


def end_session_url(
    request: HttpRequest, issuer: str | None, data: Mapping[str, Any], target: str | None
) -> str | None:
    """Return where the session at the provider ends; None without one, or if it cannot."""
    if issuer is None:
        return None
    from bff_sessions.oidc import end_session  # Needs the extra.

    callback = request.build_absolute_uri(url_of(request, "logout-callback"))
    return end_session.get_url(
        issuer,
        id_token_hint=end_session.find_id_token(data, issuer),
        post_logout_redirect_uri=callback,
        return_to=target,
    )


def default_target() -> str:
    """Return where Django leads after signing out, or the root of this site."""
    # Under a script prefix "/" is another application's.
    return resolve_url(settings.LOGOUT_REDIRECT_URL or get_script_prefix())
