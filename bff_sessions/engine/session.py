"""Django's session API on top of the configured store."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionStoreCleanup
from bff_sessions.engine import lifetimes, moves, renewal
from bff_sessions.engine.exclusive import exclusive_block
from bff_sessions.engine.lifecycle import StoredSession
from bff_sessions.engine.merging import Serializer
from bff_sessions.engine.state import Cookie
from bff_sessions.engine.tickets import is_session_key
from bff_sessions.events import Cause
from bff_sessions.exceptions import AbilityMissing
from bff_sessions.identity import begins_sign_in
from bff_sessions.revocation.cleaning import delete_expired_sessions
from bff_sessions.sansio import Block, arun, run
from bff_sessions.secret import Secret, guarded, hidden_frames
from bff_sessions.stores import get_store


class SessionStore(SessionBase):
    """Django's session API on top of the configured `UserSessionStore`.

    A method and its asynchronous twin run the same steps of `StoredSession`. A method with a secret
    as argument deletes the argument before any code can raise, because error reports show the local
    variables of this class's frames.
    """

    serializer: Callable[[], Serializer]

    slide = True
    """True if this request counts as use of the session, see BFF_SESSIONS["RENEW_AFTER"]. Set it to
    False in a view that a page polls."""

    def __init__(self, session_key: str | None = None) -> None:
        # A weak reference: a cycle would hold session data until the garbage collector runs.
        self._stored = StoredSession(weakref.proxy(self))
        self._state = self._stored.state
        self._data = self._state.data
        # True after user_logged_out: the user signs out.
        self.signs_out = False
        # Why flush() ends the session; None: it finds out by itself.
        self.end_cause: Cause | None = None
        super().__init__(session_key)
        # Another person may know this key, so no user may be signed in under it.
        self._state.arrived_key = self._state.session_key

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy has a state of its own.
        self.__dict__.update(state)
        self._stored, self._state = copy.copy(self._stored), copy.copy(self._state)
        self._data = copy.copy(self._data)
        self._stored.state, self._state.data = self._state, self._data
        self._data.policy = weakref.proxy(self)

    # Load, save and delete

    def load(self) -> dict[str, Any]:
        return run(self._stored.load())

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return await arun(self._stored.load())

    def save(self, must_create: bool = False) -> None:
        """Write the session.

        Raises:
            CreateError: if `must_create` is true and the session key is taken.
            UpdateError: if the session has ended meanwhile.
            SessionConflict: if too many other requests kept saving the session.
        """
        self.accessed = True
        run(self._stored.save(must_create, slide=self.slide))

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        self.accessed = True
        await arun(self._stored.save(must_create, slide=self.slide))

    def create(self) -> None:
        """Save the current data as a new session under a new key.

        If a user is signed in, move the session to the new key instead, as cycle_key() does: a copy
        could outlive the session from which it was made.

        Raises:
            SessionInterrupted: if a user was signed in and the session has ended meanwhile.
        """
        self.accessed = True
        run(self._stored.create())

    async def acreate(self) -> None:
        """See create()."""
        self.accessed = True
        await arun(self._stored.create())

    def cycle_key(self) -> None:
        """Move the session to a new session key. The old one is of no use from then on.

        Raises:
            SessionInterrupted: if a user was signed in and the session has ended meanwhile.
        """
        self.accessed = True
        run(self._stored.cycle_key())

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        self.accessed = True
        await arun(self._stored.cycle_key())

    def delete(self, session_key: str | None = None) -> None:
        steps = self._stored.delete(session_key)
        del session_key
        run(steps)

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        steps = self._stored.delete(session_key)
        del session_key
        await arun(steps)

    def flush(self) -> None:
        self.accessed = True
        run(self._stored.flush(signs_out=self.signs_out, cause=self.end_cause))

    async def aflush(self) -> None:
        """See flush()."""
        self.accessed = True
        await arun(self._stored.flush(signs_out=self.signs_out, cause=self.end_cause))

    def exists(self, session_key: str | None) -> bool:
        steps = moves.exists(session_key)
        del session_key
        return run(steps)

    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        steps = moves.exists(session_key)
        del session_key
        return await arun(steps)

    @classmethod
    @hidden_frames()
    def clear_expired(cls) -> None:
        run(delete_expired_sessions(_get_cleanup()))

    @classmethod
    @hidden_frames()
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await arun(delete_expired_sessions(_get_cleanup()))

    def exclusive(self, *, timeout: float = 20, seconds: float = 15) -> Block:
        """Return a context manager that leases the session for a step that must happen only once.

        Use it as ``with request.session.exclusive():`` or ``async with``, for example around the
        use of a refresh token that the provider rotates. Other requests that enter such a block
        wait. Their loads and saves do not wait, and merge. On entry the session is read again.

        On exit, changes are saved at once. This is also true after an exception and if the task is
        cancelled, because the provider does not undo its part. A task that is cancelled while it
        waits for the lease stops waiting. A cancellation is raised after the lease is released,
        which takes a few statements.

        Args:
            timeout: the seconds to wait for other requests.
            seconds: the seconds after which the lease expires, because its holder may have died. A
                block that takes longer is not exclusive any more.

        Raises:
            AbilityMissing: if the store has no leases.

        Raises (on entry):
            SessionBusy: if another request holds the lease for longer than `timeout`.
            SessionInterrupted: if the session has ended (also on exit).
            RuntimeError: inside a transaction, because other requests would not see the lease.
        """
        self.accessed = True
        return exclusive_block(self._stored, timeout, seconds, keep=self)

    # What the store has

    def get_user_session(self) -> UserSession | None:
        """Return this session as it was last loaded or saved; None if the store has none."""
        self._get_session()
        known = self._state.known
        return None if known is None else known.session

    async def aget_user_session(self) -> UserSession | None:
        """See get_user_session()."""
        await self._aget_session()
        return self.get_user_session()

    @property
    def store_key(self) -> str | None:
        """The store key of the session; None before the first save."""
        return self._state.store_key

    @property
    def keeps_cookie_of_others(self) -> bool:
        """True if the response must not set or delete the session cookie."""
        return self._state.keeps_cookie_of_others

    @property
    def is_loaded(self) -> bool:
        """True if the session has been loaded, or has nothing to load."""
        return self._data.is_loaded

    @property
    def has_ended(self) -> bool:
        """True if the session of the request's cookie has ended; False before it is loaded."""
        return self._state.has_ended

    # What SessionBase reads and writes

    @property
    def _session_key(self) -> str | None:
        return self._state.session_key

    @_session_key.setter
    def _session_key(self, value: object) -> None:
        self._state.session_key = value if is_session_key(value) else None

    @property
    def session_key(self) -> str | None:
        return self._state.session_key

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        """Return the data, which the first access loads."""
        self.accessed = True
        if not (self._data.is_loaded or self._stored.begin(no_load=no_load)):
            self._keep(self.load())
        return self._data.values

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        """See _get_session()."""
        self.accessed = True
        if not (self._data.is_loaded or self._stored.begin(no_load=no_load)):
            self._keep(await self.aload())
        return self._data.values

    def _keep(self, loaded: dict[str, Any]) -> None:
        # A subclass may return other data than those of the store.
        if loaded is not self._data.values:
            self._data.values, self._data.is_loaded = loaded, True

    _session = property(_get_session)

    @property
    def modified(self) -> bool:
        """True if the middleware must save the session: it has changed, or is due for renewal."""
        # Computed here, because pop() as the first access would undo a flag that load() sets.
        if self._state.is_modified or self._state.cookie is Cookie.NEW_KEY:
            return True
        return self.slide and conf.RENEW_AFTER is not None and guarded(renewal.is_due, self._state)

    @modified.setter
    def modified(self, value: bool) -> None:
        self._state.is_modified = value

    # Data

    def __setitem__(self, key: str, value: Any) -> None:
        if self._data.is_loaded and type(key) is str and not begins_sign_in(key):
            # Most writes end here. Nothing can raise an error that would show the value.
            self._data.values[key] = value
            self.accessed = self._state.is_modified = True
            return
        change = Secret({key: value})
        del value
        self._get_session()
        self._change(change)

    async def aset(self, key: str, value: Any) -> None:
        """See __setitem__()."""
        secret = Secret(value)
        del value
        await self._aget_session()
        self[key] = secret.reveal()

    def update(self, dict_: Any) -> None:  # type: ignore[override]
        change = Secret(dict(dict_))
        del dict_
        self._get_session()
        self._change(change)

    async def aupdate(self, dict_: Any) -> None:
        """See update()."""
        change = Secret(dict(dict_))
        del dict_
        await self._aget_session()
        self._change(change)

    def setdefault(self, key: str, value: Any) -> Any:  # type: ignore[override]
        default = Secret(value)
        del value
        if key not in self:
            self[key] = default.reveal()
        return self[key]

    async def asetdefault(self, key: str, value: Any) -> Any:
        """See setdefault()."""
        default = Secret(value)
        del value
        await self._aget_session()
        return self.setdefault(key, default.reveal())

    def _change(self, change: Secret[dict[str, Any]]) -> None:
        guarded(self._data.update, change)
        self._state.is_modified = True

    def refreshing(self) -> AbstractContextManager[None]:
        """Return a context manager for writing refreshed tokens of the signed-in user."""
        return self._data.refreshing()

    def clear(self) -> None:
        self._data.clear()
        self.accessed = self._state.is_modified = True

    def is_empty(self) -> bool:
        # With this setting the middleware saves sessions that no view has read. Load it first, so
        # that the cookie of a session that has ended does not lead to a 400.
        if settings.SESSION_SAVE_EVERY_REQUEST and self._state.session_key:
            self._get_session()
        return not self._state.session_key and not self._data.values

    # Its lifetime

    def get_expiry_age(self, **kwargs: Any) -> int:
        age: int = super().get_expiry_age(**kwargs)
        limit = self._get_limit()
        if limit is None:
            return age
        left = limit - lifetimes.to_utc(kwargs.get("modification") or timezone.now())
        return min(age, max(0, int(left.total_seconds())))

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        """See get_expiry_age()."""
        await self._aget_session()
        return self.get_expiry_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        date: datetime = super().get_expiry_date(**kwargs)
        limit = self._get_limit()
        if limit is None or lifetimes.to_utc(date) <= limit:
            return date
        return limit if timezone.is_aware(date) else timezone.make_naive(limit)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """See get_expiry_date()."""
        await self._aget_session()
        return self.get_expiry_date(**kwargs)

    def _get_limit(self) -> datetime | None:
        if conf.ABSOLUTE_LIFETIME is None:
            return None
        self._get_session()
        return guarded(renewal.get_limit, self._state)


def _get_cleanup() -> UserSessionStoreCleanup:
    try:
        return get_store().require_ability(UserSessionStoreCleanup)
    except AbilityMissing as error:
        # What Django's clearsessions expects.
        raise NotImplementedError(str(error)) from None
