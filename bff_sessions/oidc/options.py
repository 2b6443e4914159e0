"""BFF_SESSIONS["BACKCHANNEL_LOGOUT"] and ["TOKEN_REVOCATION"]. Imports nothing that is optional."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from bff_sessions import conf

__all__ = ["LogoutOptions", "RevocationOptions", "get_logout_options", "get_revocation_options"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogoutOptions:
    """The options, in small letters."""

    strict_typ: bool = False
    """Whether a logout token has to say ``typ: logout+jwt``."""
    all_sessions: bool = False
    """Whether all sessions of the subject end, also if the token names one."""
    max_age: float = 600
    """Seconds for which a logout token may have been on its way, since its ``iat``."""
    leeway: float = 60
    """Seconds by which the clocks of provider and site may differ."""


def get_logout_options() -> LogoutOptions:
    """The options as they are set, and have been checked."""
    return LogoutOptions(**{name.lower(): value for name, value in conf.BACKCHANNEL_LOGOUT.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationOptions:
    """The options, in small letters."""

    offline_access: bool = False
    """Whether tokens are revoked, too, that were given for when the user is away."""
    expired_sessions: bool = False
    """Whether those of expired sessions are, when these are cleaned up."""
    after_response: bool = True
    """Whether the request that ends a session sends them, once it has been answered; else all wait
    for ``manage.py revoke_tokens``."""
    give_up_after: timedelta = timedelta(days=3)
    """How old one may become that its provider does not revoke."""


def get_revocation_options() -> RevocationOptions | None:
    """The options as they are set, and have been checked; None if no token is to be revoked."""
    options = conf.TOKEN_REVOCATION
    if options is None or not conf.PROVIDERS:
        return None
    return RevocationOptions(**{name.lower(): value for name, value in options.items()})
