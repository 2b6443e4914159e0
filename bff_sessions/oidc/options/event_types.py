"""The types of security events, and what each does by default: CAEP 1.0, RISC 1.0, SSF 1.0.

Imports no optional dependency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

END: Final = "end"
IGNORE: Final = "ignore"
ACTIONS: Final = (END, IGNORE)
"""The values of ACTIONS."""

_SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"
_CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
_OAUTH: Final = "https://schemas.openid.net/secevent/oauth/event-type/"

VERIFICATION: Final = (f"{_SSF}verification", f"{_RISC}verification")
"""SSF 1.0, 8.1.4.1. The second is that of RISC transmitters from before SSF."""
STREAM_UPDATED: Final = f"{_SSF}stream-updated"

_Event = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventType:
    """A type of event, and what it does."""

    uri: str
    action: str = IGNORE
    ends_all: bool = False
    """True if it concerns the account: all sessions of the user end, whatever else is named."""
    keeps_sign_in: bool = False
    """True if the sign-in at the provider lives on, and may bring a new session at once."""
    is_harmless: Callable[[_Event], bool] = lambda event: False
    """Return whether this event of the type ends nothing, although its type does."""

    @property
    def name(self) -> str:
        """The last part of the URI, which no two types share: the key in ACTIONS."""
        return self.uri.rpartition("/")[2]


def _adds_credential(event: _Event) -> bool:
    # A new credential makes no earlier sign-in doubtful. An unknown change_type may.
    return event.get("change_type") == "create"


def _raises_assurance(event: _Event) -> bool:
    return event.get("change_direction") == "increase"


def _is_compliant(event: _Event) -> bool:
    return event.get("current_status") == "compliant"


def _is_low_risk(event: _Event) -> bool:
    return event.get("current_level") in ("LOW", "MEDIUM")


_ALL: Final = (
    EventType(uri=f"{_CAEP}session-revoked", action=END),
    EventType(uri=f"{_CAEP}token-claims-change", action=END, keeps_sign_in=True),
    EventType(
        uri=f"{_CAEP}credential-change",
        action=END,
        ends_all=True,
        keeps_sign_in=True,
        is_harmless=_adds_credential,
    ),
    EventType(
        uri=f"{_CAEP}assurance-level-change", keeps_sign_in=True, is_harmless=_raises_assurance
    ),
    EventType(
        uri=f"{_CAEP}device-compliance-change", keeps_sign_in=True, is_harmless=_is_compliant
    ),
    EventType(uri=f"{_CAEP}risk-level-change", keeps_sign_in=True, is_harmless=_is_low_risk),
    EventType(uri=f"{_CAEP}session-established"),
    EventType(uri=f"{_CAEP}session-presented"),
    EventType(uri=f"{_RISC}account-disabled", action=END, ends_all=True),
    EventType(uri=f"{_RISC}account-purged", action=END, ends_all=True),
    EventType(uri=f"{_RISC}account-credential-change-required", action=END, ends_all=True),
    EventType(uri=f"{_RISC}credential-compromise", action=END, ends_all=True),
    # Deprecated: the session-revoked of CAEP replaces it.
    EventType(uri=f"{_RISC}sessions-revoked", action=END, ends_all=True),
    # All OAuth tokens of the user.
    EventType(uri=f"{_OAUTH}tokens-revoked", action=END, ends_all=True),
    EventType(uri=f"{_RISC}account-enabled"),
    EventType(uri=f"{_RISC}identifier-changed", ends_all=True),
    EventType(uri=f"{_RISC}identifier-recycled", ends_all=True),
    EventType(uri=f"{_RISC}recovery-activated", ends_all=True),
    EventType(uri=f"{_RISC}recovery-information-changed", ends_all=True),
    EventType(uri=f"{_RISC}opt-in"),
    EventType(uri=f"{_RISC}opt-out-initiated"),
    EventType(uri=f"{_RISC}opt-out-cancelled"),
    EventType(uri=f"{_RISC}opt-out-effective"),
)
EVENT_TYPES: Final[Mapping[str, EventType]] = {each.uri: each for each in _ALL}
"""The known types by their URIs, without those that concern a stream."""
NAMES: Final = tuple(each.name for each in _ALL)


def find_event_type(uri: str, actions: Mapping[str, str]) -> EventType | None:
    """Return the type with this URI and with its action; None if it is unknown.

    Args:
        actions: the actions of a transmitter, by the names or the URIs of types.
    """
    known = EVENT_TYPES.get(uri)
    if known is None:
        return EventType(uri=uri, action=actions[uri]) if uri in actions else None
    action = actions.get(uri, actions.get(known.name, known.action))
    return replace(known, action=action)
