"""settings.BFF_SESSIONS["BACKCHANNEL_LOGOUT"]. Imports nothing that is optional."""

from __future__ import annotations

from dataclasses import dataclass

from bff_sessions import conf

__all__ = ["LogoutOptions", "get_logout_options"]


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
