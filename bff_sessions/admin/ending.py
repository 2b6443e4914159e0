"""End the session that a row of the ORM store shows."""

from __future__ import annotations

from django.db import router

from bff_sessions.events import EndReason
from bff_sessions.revocation import revoke_session
from bff_sessions.secret import hidden_frames
from bff_sessions.stores.orm.models import Session


@hidden_frames()
def end_session(session: Session) -> bool:
    """End `session`, also if it moves to another key meanwhile.

    Returns:
        Whether there was a session to end.
    """
    rows = Session._base_manager.using(router.db_for_write(Session)).filter(pk=session.pk)
    key: str | None = session.key
    while key is not None:
        if revoke_session(key, reason=EndReason.OPERATOR):
            return True
        previous, key = key, rows.values_list("key", flat=True).first()
        if key == previous:  # The configured store does not know this row.
            break
    return False
