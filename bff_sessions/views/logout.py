"""``POST logout``: end the session here, and then at the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import get_script_prefix

from bff_sessions import conf
from bff_sessions.contract import Actor, EndReason, UserSession, UserSessionsFilter
from bff_sessions.oidc.registrations import known_issuers
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores.databases.atomic import non_atomic_requests
from bff_sessions.views.endpoint import endpoint, session_of, url_of
from bff_sessions.views.local import local_target


# So that a later error does not roll back the end of the session.
@non_atomic_requests
@endpoint("logout", "POST", needs_header=False)
def logout(request: HttpRequest) -> HttpResponse:
    """End the session, and redirect the browser to the provider or to `return_to`."""
    target = local_target(request.POST.get("return_to"))
    data = dict(request.session.items())
    current = session_of(request).get_user_session()
    # An anonymous session stays, because it may hold a cart. The cookie of a session that cannot be
    # opened is deleted, because it may belong to a user.
    if current is None or current.subject_id is not None:
        if current is not None:
            # The delete itself returns the ticket, and with it the latest refresh token.
            revoke_sessions(
                UserSessionsFilter.of_session(current),
                reason=EndReason.SIGNED_OUT,
                actor=Actor.of_session(current),
            )
        auth.logout(request)
    url = end_session_url(request, issuer_of(current), data, target)
    return HttpResponseRedirect(url or target or default_target())


@endpoint("logout", "GET", "HEAD", needs_header=False)
def logout_callback(request: HttpRequest) -> HttpResponse:
    """Redirect a browser that returns from the provider, where this URL is registered."""
    return HttpResponseRedirect(local_target(request.GET.get("state")) or default_target())


def issuer_of(current: UserSession | None) -> str | None:
    """Return the issuer at which the browser may have a session; None without one."""
    if current is not None and current.subject_id is not None:
        return current.issuer
    # Without a session the issuer is unknown, unless there is only one provider.
    issuers = known_issuers()
    return next(iter(issuers)) if len(issuers) == 1 else None


def end_session_url(
    request: HttpRequest, issuer: str | None, data: Mapping[str, Any], target: str | None
) -> str | None:
    """Return the URL that ends the session at the provider; None if there is none."""
    if issuer is None or not conf.PROVIDERS:
        return None
    from bff_sessions.oidc.logout import end_session  # Needs the extra.

    callback = request.build_absolute_uri(url_of(request, "logout-callback"))
    return end_session.get_url(
        issuer,
        audience=end_session.find_audience(data, issuer),
        id_token_hint=end_session.find_id_token(data, issuer),
        post_logout_redirect_uri=callback,
        return_to=target,
    )


def default_target() -> str:
    """Return Django's LOGOUT_REDIRECT_URL, or the root of this site."""
    # With a script prefix, "/" belongs to another application.
    return resolve_url(settings.LOGOUT_REDIRECT_URL or get_script_prefix())
