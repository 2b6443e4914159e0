"""The endpoint at which providers read the public keys of this site: RFC 7517, 5.

Importing this module imports no optional dependency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from bff_sessions.oidc.registrations import (
    Registration,
    are_looked_up,
    find_registration,
    known_registrations,
)
from bff_sessions.secret import hidden_frames


# A provider may use a key for that long before it learns of a new one.
@cache_control(public=True, max_age=300)
@login_not_required
@require_safe
@hidden_frames()
def jwks(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """Return the public keys of all CLIENT_KEYS, those of each client newest first.

    If BFF_SESSIONS["PROVIDERS"] names a callable, the parameter ``iss`` names the provider. Ignore
    arguments that the path of an enclosing include captures.
    """
    keys: list[Mapping[str, Any]] = []
    for registration in _find_registrations(request):
        if any(client.get("CLIENT_KEYS") for client in registration.clients):
            from bff_sessions.oidc.providers import providers_of

            for provider in providers_of(registration):
                # Several clients may have the same key, or other keys of the same ID.
                own = (key.public for key in provider.authentication.keys)
                keys += [key for key in own if key not in keys]
    if not keys:
        raise Http404("No provider has CLIENT_KEYS.")
    return JsonResponse({"keys": keys})


def _find_registrations(request: HttpRequest) -> Iterable[Registration]:
    if not are_looked_up():
        return known_registrations()
    found = find_registration(request.GET.get("iss", ""))
    return () if found is None else (found,)
