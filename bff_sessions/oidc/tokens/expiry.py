"""Read when an access token expires, in any usual form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bff_sessions.contract import is_moment
from bff_sessions.oidc.tokens.values import is_absent, to_seconds

UNKNOWN_EXPIRY: Final = datetime.fromtimestamp(0, UTC)
"""The expiry of an access token whose own is missing or cannot be read: it counts as expired, so
that a stale token is never sent."""


def read_expiry(kept: Mapping[str, Any], *, since: float | None = None) -> datetime | None:
    """Return when an access token expires; None if its provider does not say.

    Reads ``expires_at``: seconds since 1970 as a number or text, an ISO 8601 text, or a datetime.
    A datetime without a time zone is UTC. Without ``expires_at``, ``expires_in`` counts from
    `since`, or else from ``created_at`` or ``iat`` beside it.

    Raises:
        ValueError: if it cannot be read. The text does not quote it.
    """
    expires_at = kept.get("expires_at")
    if not is_absent(expires_at):
        return _to_datetime(expires_at)
    if is_absent(kept.get("expires_in")):
        return None
    lifetime = to_seconds(kept["expires_in"])
    if since is None:
        # GitLab sends created_at with the tokens. An ID token is issued together with them.
        since = to_seconds(kept.get("created_at")) or to_seconds(kept.get("iat"))
    if lifetime is None or since is None or not is_moment(since + lifetime):
        raise ValueError("expires_in must be a number of seconds, with expires_at beside it.")
    return datetime.fromtimestamp(since + lifetime, UTC)


def _to_datetime(value: object) -> datetime:
    if (number := to_seconds(value)) is not None:
        return datetime.fromtimestamp(number, UTC)
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            is_naive = moment.tzinfo is None
            return moment.replace(tzinfo=UTC) if is_naive else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # The text of the error quotes the value.
    raise ValueError(
        "expires_at must be seconds since 1970, an ISO 8601 text or a datetime, "
        f"not this {type(value).__name__}."
    )
