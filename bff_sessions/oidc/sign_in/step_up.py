"""What a view demands of the sign-in at the provider: RFC 9470. Imports no optional dependency."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest

from bff_sessions.contract import is_moment
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.identity.claims import audience_of
from bff_sessions.oidc.options.backchannel_logout import get_logout_options
from bff_sessions.oidc.registrations import find_registration

# A value of acr_values: no blank, which separates them, and nothing that would end a quoted string.
_ACR: Final = re.compile(r"[!#-\[\]-~]{1,255}")
_ACR_VALUES: Final = re.compile(r"[ !#-\[\]-~]{1,1000}")
_MAX_AGE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Demand:
    """How recent and how strong the sign-in at the provider must be.

    Raises:
        TypeError: if a value has the wrong type, or if both are absent.
        ValueError: if `max_age` is negative or too large, or if an ``acr`` is not valid.
    """

    max_age: int | None
    """The most seconds since the sign-in; None: any."""
    acr: tuple[str, ...]
    """The values of the ``acr`` claim that will do; empty: any."""

    @classmethod
    def of(cls, max_age: object, acr: object) -> Demand:
        """Return the demand that the arguments of recent_sign_in() describe."""
        return cls(max_age, (acr,) if isinstance(acr, str) else tuple(acr or ()))  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.max_age is None and not self.acr:
            raise TypeError("recent_sign_in() needs max_age or acr.")
        if self.max_age is not None:
            if not isinstance(self.max_age, int) or isinstance(self.max_age, bool):
                raise TypeError("max_age must be a whole number of seconds.")
            if not _MAX_AGE.fullmatch(str(self.max_age)):
                raise ValueError("max_age must be from 0 to 999999999 seconds.")
        for value in self.acr:
            if not isinstance(value, str):
                raise TypeError("acr must be a text, or several.")
            if not _ACR.fullmatch(value):
                raise ValueError("acr must be ASCII without blanks, quotation marks, backslashes.")

    def to_parameters(self) -> dict[str, str]:
        """Return the parameters of the authentication request: OpenID Connect Core 1.0, 3.1.2.1."""
        parameters = {"prompt": "login"}
        if self.max_age is not None:
            parameters["max_age"] = str(self.max_age)
        if self.acr:
            parameters["acr_values"] = " ".join(self.acr)
        return parameters

    def has_acr(self, claims: Mapping[str, Any]) -> bool:
        """Return whether `claims` have one of the values of ``acr`` that will do."""
        return not self.acr or claims.get("acr") in self.acr

    def is_met(self, claims: Mapping[str, Any], issuer: str | None) -> bool:
        """Return whether the verified `claims` of the provider's ID token meet the demand."""
        if not self.has_acr(claims):
            return False
        if self.max_age is None:
            return True
        # Never iat: a provider issues a new ID token without asking the user.
        signed_in = claims.get("auth_time")
        if not is_moment(signed_in):
            return False
        leeway, age = get_leeway(issuer, claims), time.time() - signed_in
        return -leeway <= age <= self.max_age + leeway


def sign_in_parameters(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of `request` that a login library passes on to the provider.

    They are ``prompt``, ``max_age`` and ``acr_values``, where recent_sign_in() has written them.
    Anybody may write such a link. So only what asks the provider for more is returned, and
    recent_sign_in() checks what comes back.
    """
    query, found = request.GET, {}
    if query.get("prompt") == "login":
        found["prompt"] = "login"
    for name, pattern in (("max_age", _MAX_AGE), ("acr_values", _ACR_VALUES)):
        if pattern.fullmatch(value := query.get(name, "")):
            found[name] = value
    return found


def get_leeway(issuer: str | None, claims: Mapping[str, Any]) -> float:
    """Return the seconds by which the clock of the provider `issuer` may differ.

    Args:
        claims: those of the ID token, which name the client.
    """
    own = None
    if issuer is not None:
        # Unknown while the callable in PROVIDERS fails: then the default applies.
        with suppress(ProviderUnavailable):
            registration = find_registration(issuer)
            if registration is not None:
                index = registration.find_client(audience_of(claims)) or 0
                own = registration.clients[index].get("LEEWAY")
    return get_logout_options(None if own is None else {"LEEWAY": own}).leeway
