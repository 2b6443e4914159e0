"""The endpoint at which providers read the public keys of this site: RFC 7517, 5.

Importing this module imports no optional dependency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from bff_sessions import conf
from bff_sessions.secret import hidden_frames


# A provider may use a key for that long before it learns of a new one.
@cache_control(public=True, max_age=300)
@login_not_required
@require_safe
@hidden_frames()
def jwks(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """Return the public keys of all CLIENT_KEYS, those of each provider newest first.

    Ignore arguments that the path of an enclosing include captures.
    """
    keys: list[Mapping[str, Any]] = []
    if any(options.get("CLIENT_KEYS") for options in conf.PROVIDERS.values()):
        from bff_sessions.oidc.providers import get_providers

        for provider in get_providers().values():
            # Several providers may have the same key, or other keys of the same ID.
            own = (key.public for key in provider.authentication.keys)
            keys += [key for key in own if key not in keys]
    if not keys:
        raise Http404("No provider has CLIENT_KEYS.")
    return JsonResponse({"keys": keys})
