"""``GET login``: redirect to the configured login library."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import resolve_url

from bff_sessions import conf
from bff_sessions.oidc.sign_in.step_up import sign_in_parameters
from bff_sessions.views.endpoint import endpoint, error
from bff_sessions.views.local import is_local, local_target


@endpoint("login", "GET", "HEAD", needs_header=False)
def login(request: HttpRequest) -> HttpResponse:
    """Redirect the browser to the login library."""
    return_to = request.GET.get("return_to")
    if return_to is not None and not is_local(return_to):
        return error(
            400, "invalid_return_to", "return_to must be a path of this site, such as /orders."
        )
    return HttpResponseRedirect(login_url(return_to, sign_in_parameters(request)))


def login_url(return_to: str | None, more: Mapping[str, str] | None = None) -> str:
    """Return the URL of the login library, with `return_to` as a parameter if that is local.

    Args:
        more: parameters for the provider, see sign_in_parameters().
    """
    parts = urlsplit(resolve_url(conf.LOGIN_URL or settings.LOGIN_URL))
    query = QueryDict(parts.query, mutable=True)
    if (target := local_target(return_to)) is not None:
        query[conf.LOGIN_NEXT_PARAMETER] = target
    for name, value in (more or {}).items():
        query[name] = value
    return urlunsplit(parts._replace(query=query.urlencode(safe="/")))


def is_page_load(request: HttpRequest) -> bool:
    """Return whether the browser shows the answer as a page, unlike that of fetch()."""
    # Fetch Metadata Request Headers. Older browsers accept text/html explicitly on a page load.
    mode = request.headers.get("Sec-Fetch-Mode")
    return mode == "navigate" if mode else "text/html" in request.headers.get("Accept", "")
