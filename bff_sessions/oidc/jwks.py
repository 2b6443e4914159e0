"""The endpoint at which providers read the public keys of this site: RFC 7517, 5.

Importing this module imports no optional dependency.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from bff_sessions._compat.django_log import log_as_info
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.registrations import (
    Registration,
    are_looked_up,
    find_registration,
    known_registrations,
)
from bff_sessions.repeats import error_level
from bff_sessions.secret import hidden_frames

logger = logging.getLogger("bff_sessions.oidc")

# Seconds for which a provider may use a key before it learns of a new one.
_MAX_AGE: Final = 300


@login_not_required
@require_safe
@hidden_frames()
def jwks(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """Return the public keys of all CLIENT_KEYS, those of each client newest first.

    If BFF_SESSIONS["PROVIDERS"] names a callable, the parameter ``iss`` names the provider. Ignore
    arguments that the path of an enclosing include captures. The status is 503 while the callable
    fails.
    """
    try:
        keys = _find_keys(request)
    except ProviderUnavailable as error:
        logger.log(
            error_level(logger, error), "The public keys of this site cannot be shown. %s", error
        )
        response = HttpResponse(status=503, headers={"Cache-Control": "no-store"})
        # Our own line is enough.
        log_as_info(request, response)
        return response
    if not keys:
        raise Http404("No provider has CLIENT_KEYS.")
    response = JsonResponse({"keys": keys})
    patch_cache_control(response, public=True, max_age=_MAX_AGE)
    return response


def _find_keys(request: HttpRequest) -> list[Mapping[str, Any]]:
    keys: list[Mapping[str, Any]] = []
    for registration in _find_registrations(request):
        if any(client.get("CLIENT_KEYS") for client in registration.clients):
            from bff_sessions.oidc.providers import providers_of

            for provider in providers_of(registration):
                # Several clients may have the same key, or other keys of the same ID.
                own = (key.public for key in provider.authentication.keys)
                keys += [key for key in own if key not in keys]
    return keys


def _find_registrations(request: HttpRequest) -> Iterable[Registration]:
    if not are_looked_up():
        return known_registrations()
    found = find_registration(request.GET.get("iss", ""))
    return () if found is None else (found,)
