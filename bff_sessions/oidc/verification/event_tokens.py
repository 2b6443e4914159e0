"""Verify security event tokens, RFC 8417: what logout tokens and shared signals have in common.

The rules of each kind are in `bff_sessions.oidc.logout.tokens` and
`bff_sessions.oidc.shared_signals.tokens`. Each has its own sentences for the faults.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from bff_sessions.contract import is_moment
from bff_sessions.exceptions import BffSessionsError
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.verification.signatures import (
    SignatureInvalid,
    read_token,
    shown,
    verify_signature,
)

_CLOCKS: Final = "Compare both clocks with 'manage.py check_provider'."


class Fault(Enum):
    """Why a security event token is refused. Each kind of token has a reason of the same name."""

    MALFORMED = auto()
    TYPE = auto()
    ALGORITHM = auto()
    KEY = auto()
    NO_KEYS = auto()
    SIGNATURE = auto()
    AUDIENCE = auto()
    ID = auto()
    EXPIRES = auto()
    EXPIRED = auto()
    ISSUED = auto()
    PREMATURE = auto()
    OUTDATED = auto()


class EventTokenInvalid(BffSessionsError):
    """A security event token is refused. Each kind of token raises an error of its own instead."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(fault.name)
        self.fault = fault
        self.detail = detail
        """Details for the operator's log: single values, shortened and ASCII."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """The values that the tokens of one issuer must have here."""

    signer: Provider
    """The issuer, with its keys and its algorithms."""
    typ: str
    """The ``typ`` of the kind of token, without "application/"."""
    needs_typ: bool
    """False if a token of this kind may also have the ``typ`` of any JWT, or none."""
    audiences: Sequence[str]
    """The values of ``aud`` that name this site."""
    audience_option: str
    """The option that has them, for the log."""
    max_age: float
    leeway: float


def verify_event_token(
    token: str, find: Callable[[object, Collection[str]], Expected]
) -> tuple[dict[str, Any], Expected]:
    """Return the claims of `token`, of which check_times() and the rules of its kind are left.

    The checks that do not need keys run before the keys are fetched. Encrypted tokens are not
    supported.

    Args:
        find: returns what is expected of the tokens with this ``iss`` and these texts in ``aud``.
            If the issuer is unknown, it raises the error of this kind of token.

    Raises:
        EventTokenInvalid: if the token breaks a rule.
        ProviderUnavailable: if the keys of the issuer cannot be fetched.
    """
    try:
        header, claims = read_token(token)
    except ValueError:
        raise EventTokenInvalid(Fault.MALFORMED) from None
    audience = claims.get("aud")
    given = audience if isinstance(audience, list) else [audience]
    names = [each for each in given if isinstance(each, str)]
    expected = find(claims.get("iss"), names)
    _check_type(header, expected)
    try:
        verify_signature(token, header, expected.signer)
    except SignatureInvalid as invalid:
        raise EventTokenInvalid(Fault[invalid.fault.name], invalid.detail) from None
    if not set(names) & set(expected.audiences):
        wanted = ", ".join(map(shown, expected.audiences))
        detail = f"It is {shown(audience)}; {expected.audience_option} is {wanted}."
        raise EventTokenInvalid(Fault.AUDIENCE, detail)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise EventTokenInvalid(Fault.ID)
    return claims, expected


def _check_type(header: dict[str, Any], expected: Expected) -> None:
    type_ = header.get("typ", "JWT")
    # RFC 7515, 4.1.9: typ is compared like a media type, and may leave out "application/".
    name = type_.lower().removeprefix("application/") if isinstance(type_, str) else type_
    if name != expected.typ and (expected.needs_typ or name != "jwt"):
        raise EventTokenInvalid(Fault.TYPE, f"It is {shown(type_)}.")


def check_times(claims: dict[str, Any], expected: Expected, *, now: float, needs_exp: bool) -> None:
    """Check ``iat``, and ``exp`` if the token has it or `needs_exp`.

    Raises:
        EventTokenInvalid: if one of them is missing or does not fit the time `now`.
    """
    leeway, max_age = expected.leeway, expected.max_age
    issued = claims.get("iat")
    if "exp" in claims or needs_exp:
        _check_expiry(claims.get("exp"), now, leeway)
    if not is_moment(issued):
        raise EventTokenInvalid(Fault.ISSUED)
    if issued > now + leeway:
        detail = f"Its iat is {issued - now:.0f} seconds ahead; LEEWAY is {leeway}. {_CLOCKS}"
        raise EventTokenInvalid(Fault.PREMATURE, detail)
    # Refuse it at the boundary, too, because its record may be deleted then.
    if issued <= now - leeway - max_age:
        limits = f"MAX_AGE is {max_age} and LEEWAY {leeway}"
        detail = f"Its iat was {now - issued:.0f} seconds ago; {limits}. {_CLOCKS}"
        raise EventTokenInvalid(Fault.OUTDATED, detail)


def _check_expiry(expires: object, now: float, leeway: float) -> None:
    if not is_moment(expires):
        raise EventTokenInvalid(Fault.EXPIRES)
    if expires <= now - leeway:
        detail = f"Its exp was {now - expires:.0f} seconds ago; LEEWAY is {leeway}. {_CLOCKS}"
        raise EventTokenInvalid(Fault.EXPIRED, detail)
