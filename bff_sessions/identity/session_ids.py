"""Session IDs of our own, for sessions to which no provider gave a ``sid``.

They can be recognized: no provider issues session IDs of this form.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

# Letters and digits only, because the contract accepts such texts without the full check.
_OWN: Final = "nosid"
_MOVED: Final = "moved-"
_IS_OWN: Final = re.compile(f"(?:{_OWN}|{_MOVED})[0-9a-f]{{32}}")


def make_session_id() -> str:
    """Return a random session ID for a session to which no provider gave one."""
    return _OWN + secrets.token_hex(16)


def make_moved_session_id() -> str:
    """Return a random session ID for a session that moves here from another engine without one.

    It marks a session that may have copies in the old table. Only their subject identifies them.
    """
    return _MOVED + secrets.token_hex(16)


def is_own_session_id(session_id: str | None) -> bool:
    """Return whether `session_id` is one of our own, so that no provider knows it."""
    return session_id is not None and _IS_OWN.fullmatch(session_id) is not None


def is_moved_session_id(session_id: str | None) -> bool:
    """Return whether make_moved_session_id() has returned `session_id`."""
    return session_id is not None and session_id.startswith(_MOVED)
