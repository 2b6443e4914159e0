"""BFF_SESSIONS["BACKCHANNEL_LOGOUT"]. Imports no optional dependency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, seconds, switch


@dataclass(frozen=True, kw_only=True, slots=True)
class LogoutOptions(Options):
    """How logout tokens are verified, and which sessions they end."""

    unknown: ClassVar[Fault] = Fault(
        "E032",
        "BFF_SESSIONS['BACKCHANNEL_LOGOUT'] has no option {name!r:.120}.",
        "Use {names}. Move an option of one provider to its dictionary in "
        "BFF_SESSIONS['PROVIDERS'].",
    )

    strict_typ: bool = switch(
        False,
        check="E033",
        doc='Accept only tokens with `"typ": "logout+jwt"`; otherwise also `JWT` or no `typ`',
    )
    all_sessions: bool = switch(
        False, check="E033", doc="End all sessions of the subject, whatever the token names"
    )
    max_age: float = seconds(
        600,
        check="E034",
        doc="Seconds since `iat` after which a token is refused, whatever its `exp`",
    )
    leeway: float = seconds(60, check="E034", doc="Seconds by which the clocks may differ")


def get_logout_options(of_provider: Mapping[str, Any] | None = None) -> LogoutOptions:
    """Check and return the options of logout.

    Args:
        of_provider: options of one provider, which override those for all.
    """
    return LogoutOptions.of({**conf.BACKCHANNEL_LOGOUT, **(of_provider or {})})
