"""Notice a browser that goes back and forth between a view and its provider.

A provider may ignore what recent_sign_in() demands, and send the browser back at once. So a
short-lived cookie notes that the browser has left. The session cannot, because some login libraries
empty it at sign-in. Only the user can forge the cookie, and it lets nobody in.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from bff_sessions.contract import is_moment
from bff_sessions.oidc.step_up import Demand

COOKIE: Final = "bff_recent_sign_in"
# Seconds. A round trip that takes longer is one in which the user does something.
_MAX_AGE: Final = 120
# For a sign-in that does not change the claims, or has no iat.
_MAX_TRIES: Final = 3
_FORMAT: Final = re.compile(r"([0-9a-f]{16})-(\d{1,11})-(\d{1,11}|none)-(\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A browser that has left for the provider."""

    left: int
    """When, in seconds since 1970."""
    issued: int | None
    """The ``iat`` of the sign-in that the session had then; None if it had none."""
    tries: int
    """How often it has left without a new sign-in."""

    def is_in_vain(self, demand: Demand, claims: Mapping[str, Any], leeway: float) -> bool:
        """Return whether the browser has come back and would leave again, with `claims`."""
        if _issued(claims) == self.issued:
            return self.tries >= _MAX_TRIES
        signed_in = claims.get("auth_time")
        # A clock that is too fast does not become right by another sign-in.
        latest = time.time() + leeway
        has_signed_in = is_moment(signed_in) and self.left - leeway <= signed_in <= latest
        # Otherwise the sign-in was good enough, and has become too old since.
        return not (has_signed_in and demand.has_acr(claims))


def find(request: HttpRequest, demand: Demand) -> RoundTrip | None:
    """Return the round trip of the browser for `demand`; None if it has not left recently."""
    found = _FORMAT.fullmatch(request.COOKIES.get(COOKIE, ""))
    if found is None or found[1] != _name(demand):
        return None
    trip = RoundTrip(int(found[2]), None if found[3] == "none" else int(found[3]), int(found[4]))
    return trip if 0 <= time.time() - trip.left <= _MAX_AGE else None


def note(
    response: HttpResponse, demand: Demand, claims: Mapping[str, Any], before: RoundTrip | None
) -> None:
    """Note in `response`, which leads to the provider, that the browser leaves."""
    issued = _issued(claims)
    tries = before.tries + 1 if before is not None and before.issued == issued else 1
    shown = "none" if issued is None else issued
    response.set_cookie(
        COOKIE,
        f"{_name(demand)}-{int(time.time())}-{shown}-{tries}",
        max_age=_MAX_AGE,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",  # The provider's redirect must bring it along.
    )


def _issued(claims: Mapping[str, Any]) -> int | None:
    value = claims.get("iat")
    return int(value) if is_moment(value) else None


def _name(demand: Demand) -> str:
    return hashlib.sha256(repr((demand.max_age, demand.acr)).encode()).hexdigest()[:16]
