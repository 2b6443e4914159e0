"""BFF_SESSIONS["TOKEN_REVOCATION"]. Imports no optional dependency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, option, switch
from bff_sessions.conf.rules import POSITIVE_TIMEDELTA


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
        doc=(
            "The age, a `timedelta`, at which a token is given up if it could not be revoked. One "
            "that was first sent late still gets up to ten attempts"
        ),
    )


def get_revocation_options() -> RevocationOptions | None:
    """Check and return the options of token revocation; None if no token shall be revoked."""
    options = conf.TOKEN_REVOCATION
    if options is None or not conf.PROVIDERS:
        return None
    return RevocationOptions.of(options)
