"""The state of a session in a request: what the request knows of the session in the store.

No other module changes it.
"""

from __future__ import annotations

import enum

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.engine.data import Policy, SessionData
from bff_sessions.protection import is_current, store_key


class State(enum.Enum):
    """What a request knows of its session.

    | state | `committed` | `uncommitted` | a save |
    | --- | --- | --- | --- |
    | NEW | None | None | creates; under a key that came with the request, it reads first |
    | LOADED | set | None | updates on condition that nothing has changed |
    | UNCOMMITTED | set or None | set | as LOADED; falls back to `committed` after a rollback |
    | UNREADABLE | None | None | creates under another key: this ticket stays as it is |
    """

    NEW = "nothing is known"
    LOADED = "loaded, or saved and committed"
    UNCOMMITTED = "saved in a transaction that may be rolled back"
    UNREADABLE = "the ticket does not open"


class Cookie(enum.Enum):
    """How the response treats the session cookie."""

    AS_DJANGO = "Django's middleware decides"
    NEW_KEY = "the browser gets a new key though nothing has changed"
    OF_OTHERS = "the browser has a valid cookie, or another request sends it one"


class Snapshot:
    """A session as this request has loaded or saved it."""

    __slots__ = ("plain", "session", "session_key")

    def __init__(self, session_key: str, session: UserSession, plain: bytes) -> None:
        self.session_key = session_key
        self.session = session
        self.plain = plain
        """The data, serialized."""


class SessionState:
    """Where a session is, and what this request knows of it.

    The transitions: restart() leads to NEW from every state, load() to LOADED, refuse() from NEW
    to UNREADABLE, save() to UNCOMMITTED, and commit() from there to LOADED.
    """

    __slots__ = (
        "arrived_key",
        "committed",
        "cookie",
        "data",
        "followed_key",
        "has_ended",
        "is_modified",
        "left",
        "session_key",
        "state",
        "uncommitted",
    )

    def __init__(self, policy: Policy) -> None:
        self.data = SessionData(policy)
        self.session_key: str | None = None
        self.arrived_key: str | None = None
        """The session key that came with the request."""
        self.has_ended = False
        """True if that session has ended, and not by this request."""
        self.is_modified = False
        self.cookie = Cookie.AS_DJANGO
        self.left: UserSession | None = None
        """The session that this request leaves to the request that changed the password."""
        self.restart()

    def restart(self) -> None:
        """Forget the stored session."""
        self._become(State.NEW)
        # The store key to which this request has followed the session. Another request has moved it
        # to a session key that this request does not know.
        self.followed_key: str | None = None
        self.data.restart()

    def load(self, snapshot: Snapshot) -> None:
        """Note the session that the store has."""
        self._become(State.LOADED, committed=snapshot)

    def refuse(self) -> None:
        """Note that the ticket does not open."""
        self._become(State.UNREADABLE)

    def save(self, snapshot: Snapshot) -> None:
        """Note what was written, until commit() or a rollback."""
        self._become(State.UNCOMMITTED, committed=self.committed, uncommitted=snapshot)
        if self.cookie is Cookie.OF_OTHERS:
            self.cookie = Cookie.AS_DJANGO

    def commit(self, snapshot: Snapshot) -> None:
        """Note that `snapshot` is committed, unless this request has written more since."""
        if self.uncommitted is snapshot:
            self._become(State.LOADED, committed=snapshot)

    def _become(
        self, state: State, committed: Snapshot | None = None, uncommitted: Snapshot | None = None
    ) -> None:
        self.state = state
        self.committed = committed
        self.uncommitted = uncommitted

    @property
    def known(self) -> Snapshot | None:
        """The session as this request last loaded or saved it."""
        return self.uncommitted or self.committed

    @property
    def store_key(self) -> str | None:
        """The store key of the session; None before the first save."""
        if self.followed_key is not None:
            return self.followed_key
        return None if self.session_key is None else store_key(conf.PARTITION, self.session_key)

    @property
    def keeps_cookie_of_others(self) -> bool:
        """True if the response must not set or delete the session cookie."""
        return self.cookie is Cookie.OF_OTHERS or self.followed_key is not None

    def has_changed(self) -> bool:
        """Return whether the data differ from what this request last loaded or saved."""
        known, data = self.known, self.data
        return bool(data.values) if known is None else not data.is_held_by(known.plain)

    def is_unchanged(self) -> bool:
        """Return whether a save would write what is committed, under the same encryption key."""
        saved, data = self.committed, self.data
        if saved is None or data.replaces or not is_current(saved.session.ticket):
            return False
        return data.is_held_by(saved.plain)

    def change_session_key(self, session_key: str) -> None:
        """Use a session key that the response sends to the browser."""
        self.session_key, self.followed_key, self.is_modified = session_key, None, True
