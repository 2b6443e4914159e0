"""The data of a session in a request, and what this request has changed in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

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


class Policy(Protocol):
    """What a project decides about its sessions; Django's ``SessionBase`` has it."""

    serializer: Callable[[], Serializer]

    def get_session_cookie_age(self) -> int: ...


class SessionData:
    __slots__ = ("_found", "_replaced", "_written", "is_loaded", "policy", "replaces", "values")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.values: dict[str, Any] = {}
        self.is_loaded = False

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        # Without the policy, which is the SessionStore and sets itself.
        names = (name for name in self.__slots__ if name != "policy")
        return None, {name: getattr(self, name) for name in names}

    def restart(self) -> None:
        """Forget what the session was, and keep its values."""
        self.replaces = False
        """Whether the next save replaces everything, because clear() was called."""
        # The data, serialized, as this request found them, or when the user last changed, and the
        # keys of claims that it has written since. All other claims are older.
        self._found: bytes | None = None
        self._written: set[str] = set()
        # Parts of the data that merges have replaced, and that this request may still hold.
        self._replaced: list[_Replaced] = []

    def load(self, values: dict[str, Any], plain: bytes | None = None) -> None:
        """Begin with `values`, which are `plain` if they come from a stored session."""
        self.values, self.is_loaded = values, True
        self._found = plain

    def clear(self) -> None:
        """Begin with nothing."""
        self.values, self.is_loaded = {}, True
        self.replaces = True

    def set_values(self, values: dict[str, Any]) -> None:
        """Hold `values` from now on, and nothing else."""
        # In place: the caller of keys() or items() looks at this dictionary.
        self.values.clear()
        self.values.update(values)

    def update(self, change: Secret[dict[str, Any]]) -> None:
        """Write `change`, and forget claims of before as soon as another user signs in.

        By now, because what is written from now on is the user's own, also if it is the same.
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
        """Surround what writes refreshed tokens: they are those of who is signed in already."""
        written = self._written.copy()
        try:
            yield
        finally:
            self._written = written

    def identify(self, old: UserSession | None) -> Identity:
        """Return whose session it is, without claims of who was signed in to `old`."""
        identity = identify(self.values)
        if old is None:
            return identity
        is_other = old.subject_id is not None and is_other_user(old, identity)
        # Reads the data of before, so only where two people can be in one session.
        if (is_other or has_several_sources(self.values)) and self._forget_older_claims({}):
            identity = identify(self.values)
        return identity

    def get_expiry(self, now: datetime, limit: datetime | None) -> datetime:
        """Return when the session expires if it is saved at the moment `now`."""
        expiry, get_age = self.values.get("_session_expiry"), self.policy.get_session_cookie_age
        return lifetimes.expiry_of(expiry, get_age, now, limit)

    # Serialized

    def dumps(self, values: Mapping[str, Any] | None = None) -> bytes:
        """Return `values` serialized; by default those of the session."""
        return self.policy.serializer().dumps(self.values if values is None else values)

    def is_held_by(self, plain: bytes) -> bool:
        """Return whether the serialized dictionary `plain` holds the same."""
        return is_same_data(self.dumps(), plain, self.policy.serializer())

    def open(self, session: UserSession) -> tuple[bytes, dict[str, Any]] | None:
        """Return the data of `session`, see open_ticket()."""
        return open_ticket(session, self.policy.serializer())

    # Merged

    def rebase(self, base: bytes, current: dict[str, Any]) -> None:
        """Apply what changed here since `base` onto `current`."""
        if self.replaces:
            return
        mine, serializer = self.values.copy(), self.policy.serializer()
        self.set_values(merge(base, mine, current, serializer))
        self._replaced += _Replaced.find(mine, current, self.values, serializer)

    def keep_changes(self, base: bytes) -> None:
        """Drop what is as it was in `base`."""
        self.set_values(merge(base, self.values, {}, self.policy.serializer()))

    def follow(self) -> None:
        """Apply what this request has changed in parts that merges have replaced."""
        for replaced in self._replaced:
            replaced.follow(self.policy.serializer())

    def _forget_older_claims(self, changes: dict[str, Any]) -> bool:
        """Remove claims that `changes` make older. Return whether there were any."""
        serializer = self.policy.serializer()
        before = {} if self._found is None else serializer.loads(self._found)
        after = serializer.loads(serializer.dumps({**self.values, **changes}))
        older = older_claims(after, before, self._written)
        for key in older:
            del self.values[key]
        return bool(older)


class _Replaced:
    """The dictionaries of a request in whose place a merge has put new ones.

    The request may hold an old one and go on to change it, so its changes count. The merge does
    not write into the old one: it may be a constant of the project.
    """

    def __init__(self, old: dict[str, Any], new: dict[str, Any], serializer: Serializer) -> None:
        self._old = old
        self._new = new
        # What the old ones held when they were last looked at.
        self._plain = serializer.dumps(old)

    @classmethod
    def find(
        cls,
        mine: dict[str, Any],
        current: dict[str, Any],
        merged: dict[str, Any],
        serializer: Serializer,
    ) -> list[_Replaced]:
        """Return what merge() put in the place of dictionaries of `mine`, if anything."""
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
        """Apply what changed in the old ones since onto the new ones."""
        merged = merge(self._plain, self._old, self._new, serializer)
        for name, value in self._new.items():
            content = dict(merged[name])
            value.clear()
            value.update(content)
        self._plain = serializer.dumps(self._old)
