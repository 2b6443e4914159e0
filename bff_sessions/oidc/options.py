"""BFF_SESSIONS["BACKCHANNEL_LOGOUT"] and ["TOKEN_REVOCATION"]. Imports no optional dependency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, option, seconds, switch
from bff_sessions.conf.rules import POSITIVE_TIMEDELTA


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


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationOptions(Options):
    """Which tokens of ended sessions are revoked, and when."""

    unknown: ClassVar[Fault] = Fault(
        "E044",
        "BFF_SESSIONS['TOKEN_REVOCATION'] has no option {name!r:.120}.",
        "Use {names}. Move an option of one provider to its dictionary in "
        "BFF_SESSIONS['PROVIDERS'].",
    )

    offline_access: bool = switch(
        False,
        check="E045",
        doc=(
            "Also revoke tokens with the scope `offline_access`, which are meant to outlive "
            "the session"
        ),
    )
    expired_sessions: bool = switch(
        False,
        check="E045",
        doc="Also revoke the tokens of expired sessions, when `cleanup_sessions` deletes them",
    )
    after_response: bool = switch(
        True,
        check="E045",
        doc="Send tokens after the response; otherwise they wait for `revoke_tokens`",
    )
    give_up_after: timedelta = option(
        timedelta(days=3),
        POSITIVE_TIMEDELTA,
        check="E046",
        hint="Give a timedelta, for example timedelta(days=3), or leave it out.",
        doc="The age, a `timedelta`, at which a token is given up if it could not be revoked",
    )


def get_revocation_options() -> RevocationOptions | None:
    """Check and return the options of token revocation; None if no token shall be revoked."""
    options = conf.TOKEN_REVOCATION
    if options is None or not conf.PROVIDERS:
        return None
    return RevocationOptions.of(options)
