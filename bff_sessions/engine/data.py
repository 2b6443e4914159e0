"""The data of a session in a request, and what this request has changed in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Protocol

from bff_sessions.contract import UserSession
from bff_sessions.engine import lifetimes
from bff_sessions.engine.merging import Serializer, is_same_data, merge
from bff_sessions.engine.signing_in import is_other_user
from bff_sessions.engine.tickets import open_ticket
from bff_sessions.identity import (
    AUTH_USER_ID,
    Identity,
    has_several_sources,
    identify,
    is_claims_source,
    older_claims,
)
from bff_sessions.secret import Secret

# The most merges whose dictionaries a session remembers: more than the tries of one save. Each one
# costs time at each save, and a WebSocket may save the same session for days.
_MOST_REPLACED: Final = 100


class Policy(Protocol):
    """What a project decides about its sessions; Django's ``SessionBase`` has it."""

    serializer: Callable[[], Serializer]

    def get_session_cookie_age(self) -> int: ...


class SessionData:
    """The data of a session, and what they were before this request changed them."""

    __slots__ = ("_found", "_replaced", "_written", "is_loaded", "policy", "replaces", "values")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.values: dict[str, Any] = {}
        self.is_loaded = False

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        # The policy is the SessionStore, which sets it again.
        names = (name for name in self.__slots__ if name != "policy")
        return None, {name: getattr(self, name) for name in names}

    def restart(self) -> None:
        """Forget what was loaded, and keep the values."""
        self.replaces = False
        """True if the next save replaces all data, because clear() was called."""
        # The serialized data that this request loaded, or had when the user last changed. Then the
        # keys of claims that it has written since: all other claims are older.
        self._found: bytes | None = None
        self._written: set[str] = set()
        # Dictionaries that merges have replaced, and that this request may still use.
        self._replaced: list[_Replaced] = []

    def load(self, values: dict[str, Any], plain: bytes | None = None) -> None:
        """Begin with `values`; `plain` is their serialized form if a session was loaded."""
        self.values, self.is_loaded = values, True
        self._found = plain

    def clear(self) -> None:
        """Begin without data."""
        self.values, self.is_loaded = {}, True
        self.replaces = True

    def set_values(self, values: dict[str, Any]) -> None:
        """Replace all values by `values`."""
        # In place, because views of keys() and items() show this dictionary.
        self.values.clear()
        self.values.update(values)

    def update(self, change: Secret[dict[str, Any]]) -> None:
        """Write `change`. If another user signs in, first forget the claims of the previous user.

        This cannot wait for the save: from now on all that is written belongs to the new user, even
        if the values are the same.
        """
        values = change.reveal()
        user_id = values.get(AUTH_USER_ID)
        if user_id is not None and self.values.get(AUTH_USER_ID) != user_id:
            self._forget_older_claims({AUTH_USER_ID: user_id})
            self._found = self.dumps({**self.values, AUTH_USER_ID: user_id})
        self._written.update(filter(is_claims_source, values))
        self.values.update(values)

    @contextmanager
    def refreshing(self) -> Iterator[None]:
        """Surround what writes refreshed tokens, which belong to the signed-in user."""
        written = self._written.copy()
        try:
            yield
        finally:
            self._written = written

    def identify(self, old: UserSession | None) -> Identity:
        """Return whose session it is, without claims of another user who was signed in to `old`."""
        identity = identify(self.values)
        if old is None:
            return identity
        is_other = old.subject_id is not None and is_other_user(old, identity)
        # This reads the previous data, so do it only if two people can be in one session.
        if (is_other or has_several_sources(self.values)) and self._forget_older_claims({}):
            identity = identify(self.values)
        return identity

    def get_expiry(self, now: datetime, limit: datetime | None) -> datetime:
        """Return when the session expires if it is saved at `now`."""
        expiry, get_age = self.values.get("_session_expiry"), self.policy.get_session_cookie_age
        return lifetimes.expiry_of(expiry, get_age, now, limit)

    # Serialized

    def dumps(self, values: Mapping[str, Any] | None = None) -> bytes:
        """Return `values` serialized; by default those of the session."""
        return self.policy.serializer().dumps(self.values if values is None else values)

    def is_held_by(self, plain: bytes) -> bool:
        """Return whether the serialized dictionary `plain` holds the same data."""
        return is_same_data(self.dumps(), plain, self.policy.serializer())

    def open(self, session: UserSession) -> tuple[bytes, dict[str, Any]] | None:
        """Return the data of `session`, see open_ticket()."""
        return open_ticket(session, self.policy.serializer())

    # Merged

    def rebase(self, base: bytes, current: dict[str, Any]) -> None:
        """Apply what this request has changed since `base` to `current`."""
        if self.replaces:
            return
        mine, serializer = self.values.copy(), self.policy.serializer()
        self.set_values(merge(base, mine, current, serializer))
        self._replaced += _Replaced.find(mine, current, self.values, serializer)
        del self._replaced[:-_MOST_REPLACED]

    def keep_changes(self, base: bytes) -> None:
        """Drop all values that are the same as in `base`."""
        self.set_values(merge(base, self.values, {}, self.policy.serializer()))

    def follow(self) -> None:
        """Apply what this request has changed in dictionaries that merges have replaced."""
        for replaced in self._replaced:
            replaced.follow(self.policy.serializer())

    def _forget_older_claims(self, changes: dict[str, Any]) -> bool:
        """Remove the claims that `changes` make outdated. Return whether there were any."""
        serializer = self.policy.serializer()
        before = {} if self._found is None else serializer.loads(self._found)
        after = serializer.loads(serializer.dumps({**self.values, **changes}))
        older = older_claims(after, before, self._written)
        for key in older:
            del self.values[key]
        return bool(older)


class _Replaced:
    """Dictionaries of a request that a merge has replaced by new ones.

    A view may still have a reference to an old dictionary and change it, so these changes count.
    The merge does not write into the old one, because it may be a constant of the project.
    """

    def __init__(self, old: dict[str, Any], new: dict[str, Any], serializer: Serializer) -> None:
        self._old = old
        self._new = new
        # What the old ones contained when follow() last ran.
        self._plain = serializer.dumps(old)

    @classmethod
    def find(
        cls,
        mine: dict[str, Any],
        current: dict[str, Any],
        merged: dict[str, Any],
        serializer: Serializer,
    ) -> list[_Replaced]:
        """Return the dictionaries of `mine` that merge() has replaced, if any."""
        new = {
            name: value
            for name, value in merged.items()
            if isinstance(mine.get(name), dict)
            and isinstance(value, dict)
            and value is not mine[name]
            and value is not current.get(name)
        }
        old = {name: mine[name] for name in new}
        return [cls(old, new, serializer)] if new else []

    def follow(self, serializer: Serializer) -> None:
        """Apply what has changed in the old ones since to the new ones."""
        merged = merge(self._plain, self._old, self._new, serializer)
        for name, value in self._new.items():
            content = dict(merged[name])
            value.clear()
            value.update(content)
        self._plain = serializer.dumps(self._old)
