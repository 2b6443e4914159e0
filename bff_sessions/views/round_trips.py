"""Notice a browser that goes back and forth between a view and its provider.

A provider may ignore what recent_sign_in() demands, and send the browser back at once. So the URL
to which the sign-in leads is marked: a page that the user opens is not. A cookie notes when the
browser left, because a marked URL may be bookmarked. The session cannot, because some login
libraries empty it at sign-in. The user can forge both, and neither lets anybody in.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from bff_sessions.contract import is_moment
from bff_sessions.oidc.sign_in.step_up import Demand
from bff_sessions.views.local import local_target

NAME: Final = "bff_recent_sign_in"
"""The name of the cookie, and of the parameter that marks a URL."""
# Seconds. A round trip that takes longer is one in which the user does something.
_MAX_AGE: Final = 120
_MOMENT: Final = re.compile(r"\d{1,11}", re.ASCII)


def marked_url(request: HttpRequest, demand: Demand) -> str | None:
    """Return the URL of `request` with the mark of `demand`; None if it cannot be a target."""
    url, mark = _unmarked(request), _mark(demand)
    for each in (url, url.partition("?")[0]):  # A target that is too long would lose the mark.
        target = f"{each}{'&' if '?' in each else '?'}{mark}"
        if local_target(target) == target:
            return target
    return None


def unmarked_url(request: HttpRequest, demand: Demand) -> str | None:
    """Return the URL of `request` without the mark of `demand`; None if it has none."""
    return local_target(_unmarked(request)) if _is_marked(request, demand) else None


def note(response: HttpResponse) -> None:
    """Note in `response`, which leads to the provider, that the browser leaves."""
    response.set_cookie(
        NAME,
        str(int(time.time())),
        max_age=_MAX_AGE,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",  # The provider's redirect must bring it along.
    )


def is_in_vain(
    request: HttpRequest, demand: Demand, claims: Mapping[str, Any], leeway: float
) -> bool:
    """Return whether the browser has come back from the sign-in with `claims` that did not help."""
    now, noted = time.time(), request.COOKIES.get(NAME, "")
    if not _is_marked(request, demand) or not _MOMENT.fullmatch(noted):
        return False
    left, signed_in = int(noted), claims.get("auth_time")
    if not 0 <= now - left <= _MAX_AGE:
        return False
    # A clock that is too fast does not become right by another sign-in.
    has_signed_in = is_moment(signed_in) and left - leeway <= signed_in <= now + leeway
    # Otherwise the sign-in was good enough, and has become too old since.
    return not (has_signed_in and demand.has_acr(claims))


def _is_marked(request: HttpRequest, demand: Demand) -> bool:
    return _mark(demand) in request.META.get("QUERY_STRING", "").split("&")


def _unmarked(request: HttpRequest) -> str:
    path, _, query = request.get_full_path().partition("?")
    query = "&".join(each for each in query.split("&") if not each.startswith(f"{NAME}="))
    return f"{path}?{query}" if query else path


def _mark(demand: Demand) -> str:
    """Return the mark. It names the demand, because a page may have several."""
    digest = hashlib.sha256(repr((demand.max_age, demand.acr)).encode()).hexdigest()
    return f"{NAME}={digest[:16]}"
