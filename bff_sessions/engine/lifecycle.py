"""The life of a stored session in steps (see `sansio`): load, save, create, move, delete, flush.

Nothing here knows Django's ``SessionBase``.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions.engine import ending, moves, renewal, saving
from bff_sessions.engine.data import Policy
from bff_sessions.engine.state import Cookie, SessionState, Snapshot, State
from bff_sessions.events import Cause
from bff_sessions.exceptions import SessionMissing
from bff_sessions.measuring import Counted, count
from bff_sessions.sansio import Steps
from bff_sessions.stores.live import is_live

_HAS_ENDED = "The session has ended."


class StoredSession:
    """A session in the configured store, as one request uses it."""

    def __init__(self, policy: Policy) -> None:
        self.state = SessionState(policy)

    def load(self) -> Steps[dict[str, Any]]:
        """Return the data in the store; {} if the store does not have the session."""
        state, data = self.state, self.state.data
        was_loaded = data.is_loaded
        session = yield from moves.read(state)
        if session is not None and not is_live(session):
            session = None
        opened = None if session is None else data.open(session)
        found = {} if opened is None else opened[1]
        if was_loaded:
            return found  # A second load() shows what the store has, and changes nothing.
        # Another task of the same request may have loaded the session meanwhile.
        if not data.is_loaded:
            if session is None or state.session_key is None:
                state.has_ended = state.session_key is not None
                state.session_key = None
                state.restart()
                data.load(found)
            elif opened is None:
                state.refuse()
                data.load(found)
            else:
                state.load(Snapshot(state.session_key, session, opened[0]))
                data.load(found, opened[0])
        return data.values

    def save(self, must_create: bool, *, slide: bool) -> Steps[None]:
        """Write the session.

        Args:
            slide: whether this request counts as use of the session.

        Raises:
            CreateError: if `must_create` is true and the session exists.
            UpdateError: if the session has ended.
            SessionConflict: if other requests kept changing the session.
        """
        state = self.state
        if state.session_key is None:
            return (yield from self.create())
        yield from self.ensure_loaded(no_load=must_create)
        if must_create:
            if state.known is not None:
                raise CreateError("The session has been saved already.")
            return (yield from saving.insert(state, state.session_key))
        if state.session_key is None:
            raise UpdateError(_HAS_ENDED)
        saved = state.committed
        if not slide and state.state is State.LOADED and state.is_unchanged():
            # With SESSION_SAVE_EVERY_REQUEST, Django saves this session although the request is not
            # a use of it. Another request may have moved it, and sent its cookie.
            state.cookie = Cookie.OF_OTHERS
            return
        try:
            if slide and saved is not None and renewal.is_due(state) and state.is_unchanged():
                yield from renewal.renew(state, saved)
            else:
                written = yield from saving.update(state, move=False)
                if state.data.values and not written:
                    yield from self.create()
        except SessionMissing:
            count(Counted.SAVES, "ended")
            raise UpdateError(_HAS_ENDED) from None

    def create(self) -> Steps[None]:
        """Create a session with the present data; move it instead if a user is signed in."""
        state = self.state
        yield from self.ensure_loaded(no_load=True)
        if state.known is not None and state.known.session.subject_id is not None:
            return (yield from self.cycle_key())
        yield from saving.insert(state, saving.new_session_key())
        state.is_modified = True

    def cycle_key(self) -> Steps[None]:
        """Move the session to a new key.

        Raises:
            SessionInterrupted: if a user was signed in and the session has ended.
            SessionConflict: if other requests kept changing the session.
        """
        state = self.state
        yield from self.ensure_loaded()
        if state.session_key is None:
            return (yield from self.create())
        known = state.known
        try:
            written = yield from saving.update(state, move=True)
        except SessionMissing:
            if known is not None:
                if known.session.subject_id is not None:
                    raise SessionInterrupted(_HAS_ENDED) from None
                # Keep what this request has written, and drop what the ended session held.
                state.data.keep_changes(known.plain)
            written = False
        if not written:
            yield from self.create()
        state.is_modified = True

    def delete(self, session_key: str | None) -> Steps[bool]:
        """Delete the session under `session_key`, by default this one; True if it existed."""
        return ending.delete(self.state, session_key)

    def flush(self, *, signs_out: bool, cause: Cause | None = None) -> Steps[None]:
        """Delete the session, and begin an empty one. See `bff_sessions.engine.ending`."""
        return ending.flush(self.state, signs_out=signs_out, cause=cause)

    def ensure_loaded(self, *, no_load: bool = False) -> Steps[None]:
        """Load the session unless it is loaded; with `no_load`, begin with no data instead."""
        if self.state.data.is_loaded:
            self.state.data.follow()
        elif not self.begin(no_load=no_load):
            yield from self.load()

    def begin(self, *, no_load: bool) -> bool:
        """Begin without data if `no_load` is true or no key came. Return whether it did."""
        begins = no_load or self.state.session_key is None
        if begins:
            self.state.data.load({})
        return begins
