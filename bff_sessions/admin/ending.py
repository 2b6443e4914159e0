"""End a session that the admin shows."""

from __future__ import annotations

from collections.abc import Callable

from bff_sessions.admin.faults import store_errors
from bff_sessions.contract import Actor, EndReason
from bff_sessions.revocation import revoke_session
from bff_sessions.secret import hidden_frames


@hidden_frames()
def end_session(key: str | None, find_key: Callable[[], str | None], operator: Actor) -> bool:
    """End the session under the store key `key`, also if it moves to another key meanwhile.

    Args:
        find_key: returns the present store key of the session; None if it has ended.
        operator: the user who ends it.

    Returns:
        Whether there was a session to end.

    Raises:
        StoreFailed: if the store fails.
    """
    with store_errors():
        while key is not None:
            if revoke_session(key, reason=EndReason.OPERATOR, actor=operator):
                return True
            previous, key = key, find_key()
            if key == previous:  # The configured store does not know this session.
                break
    return False
