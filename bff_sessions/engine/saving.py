"""How a session writes its row, in steps, and what it knows of it.

Concurrent saves merge here: a row that another request has changed is read again, what changed here
is applied onto it, and the save is tried again.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.engine import lifetimes, moves
from bff_sessions.engine.merging import Replaced, is_same_data, merge
from bff_sessions.engine.moves import can_follow, has_hash
from bff_sessions.engine.rows import Known, compose, is_other_subject, is_session_key, open_row
from bff_sessions.engine.signing_in import (
    changes_hands,
    end_oldest,
    is_other_user,
    replace_others,
    signs_in,
    warn_without_provider,
)
from bff_sessions.engine.steps import Call, Steps, call, move_here
from bff_sessions.exceptions import (
    SessionChanged,
    SessionConflict,
    SessionExists,
    SessionMissing,
)
from bff_sessions.identity import (
    AUTH_USER_ID,
    Identity,
    has_several_sources,
    identify,
    is_claims_source,
    older_claims,
)
from bff_sessions.oidc.sign_in import end_if_logged_out
from bff_sessions.protection import is_current, next_session_keys, store_key

__all__ = ["SavingSession"]

# Tries of one save against concurrent saves. With the pauses below, far more than sixteen
# writers that save the same session without rest need.
_MAX_TRIES = 64


class SavingSession(SessionBase):
    """A session that knows what it loaded or saved last, and writes what has changed since."""

    _session_cache: dict[str, Any]

    slide = True
    """Whether this request counts as use of the session, see BFF_SESSIONS["RENEW_AFTER"]. Set it to
    False where a page polls by itself."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        # Somebody else may know this key, so that nobody is to be signed in under it.
        self._arrived_key = self._session_key
        # The browser gets another cookie though nothing changed.
        self._has_new_key = False
        # The cookie that the browser has is good, or another request sees to it.
        self._leaves_cookie = False
        # user_logged_out was sent: the user wants the session to end.
        self.signs_out = False
        # The session that this request has left to the one that changed the password.
        self._left: UserSession | None = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        # The ticket under the key does not open, so it is neither overwritten nor deleted.
        self._unreadable = False
        # clear() was called: the next save replaces everything instead of merging.
        self._replaces = False
        # The row as it was last loaded or committed: what changes are told from ...
        self._saved: Known | None = None
        # ... and as it was saved in a transaction that has not been committed yet.
        self._pending: Known | None = None
        # Its data, serialized, as this request found it, or when the user last changed, and the
        # keys of claims that it has written since. All other claims are older.
        self._found: bytes | None = None
        self._written: set[str] = set()
        # The store key under which the session is now, if another request moved it and this one
        # does not know the session key.
        self._moved_to: str | None = None
        # Parts of its data that merges have replaced, and that this request may still hold.
        self._replaced: list[Replaced] = []

    @property
    def modified(self) -> bool:
        """Whether the middleware has to save the session: it changed, or is due for renewal."""
        # Not a flag that load() sets: pop() as the first access takes it back.
        return self._modified or self._has_new_key or self._is_due()

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = value

    @property
    def keeps_cookie_of_others(self) -> bool:
        """Whether the answer to this request must not set or delete the session cookie."""
        return self._leaves_cookie or self._moved_to is not None

    @property
    def store_key(self) -> str | None:
        """Under what the store keeps the session; None before the first save."""
        if self._moved_to is not None:
            return self._moved_to
        return None if self._session_key is None else store_key(conf.PARTITION, self._session_key)

    # Reading and writing the row

    def _read(self) -> Steps[UserSession | None]:
        if self._session_key is None:
            return None
        row: UserSession | None = yield call("get_user_session", self.store_key)
        if row is not None and row.is_moved:
            row = None  # Another request is moving it.
        if row is None and self._known is None and settings.SECRET_KEY_FALLBACKS:
            row = yield from self._read_after_step()
        if row is None and self._known is None and conf.TAKE_OVER is not None:
            yield move_here(self._session_key)
            row = yield call("get_user_session", self.store_key)
        return row

    def _insert(self, session_key: str, data: dict[str, Any]) -> Steps[None]:
        identity = identify(data)
        key = store_key(conf.PARTITION, session_key)
        new = self._compose(session_key, key, data, identity, None)
        yield from self._before(identity, new.row, None)
        try:
            yield call("create_user_session", new.row)
        except SessionExists:
            raise CreateError from None
        self._start_afresh()
        self._session_key = session_key
        yield from self._keep(new)
        yield from self._after(identity, new.row, None)

    def _update(self, data: dict[str, Any], *, move: bool) -> Steps[bool]:
        """Write `data` over the row; under a new key if `move`, or if it changes hands.

        If another request has moved the session meanwhile, it is written where it is now.

        Returns:
            False if nothing was written, because the row is one that does not open.

        Raises:
            SessionMissing: if the row is gone, or is somebody else's by now.
            SessionConflict: if it kept changing, or does not open any more.
        """
        is_caught_up = self._saved is not None and self._pending is None
        # Where another request has moved it already, this one moves nothing more.
        move = move and self._moved_to is None
        step_keys = (yield from self._get_step_keys(data)) if move else ()
        tried = None
        for attempt in range(_MAX_TRIES):
            if not (is_caught_up or self._unreadable):
                has_moved = yield from self._catch_up(step_keys)
                move = move and not has_moved
            if self._unreadable:
                return False
            old = cast(Known, self._known).row
            if old.version == tried:
                # A transaction that is shown the past: there is no use in trying again.
                break
            tried = old.version
            identity = self._identify(data, old)
            session_key, key = cast(str, self._session_key), cast(str, self.store_key)
            if move or (session_key == self._arrived_key and changes_hands(old, identity)):
                session_key = step_keys[0] if move and step_keys else self._get_new_session_key()
                key = store_key(conf.PARTITION, session_key)
            new = self._compose(session_key, key, data, identity, old)
            yield from self._before(identity, new.row, old)
            try:
                version = yield call("overwrite_user_session", old, new.row)
            except SessionMissing:
                if self._pending is not None:
                    raise
                is_caught_up = False  # Perhaps it is somewhere else.
                continue
            except SessionChanged:
                is_caught_up = False
                if attempt:  # Most races are between two: the second try needs no pause.
                    yield random.uniform(0, min(0.002 * 2**attempt, 0.25))
                continue
            if new.row.key != old.key:
                self._session_key, self._moved_to, self.modified = session_key, None, True
            self._replaces = False
            if version != new.row.version:  # A store may count as it likes.
                new = new._replace(row=replace(new.row, version=version))
            yield from self._keep(new)
            yield from self._after(identity, new.row, old)
            return True
        raise SessionConflict("The session kept changing while it was being saved.")

    def _before(self, identity: Identity, row: UserSession, old: UserSession | None) -> Steps[None]:
        """What comes before `row` is written over `old`."""
        # A session id of our own making has no other sessions.
        if identity.session_id is not None and signs_in(row, old):
            yield from replace_others(row, old, lambda other: self._open(other) is not None)

    def _after(self, identity: Identity, row: UserSession, old: UserSession | None) -> Steps[None]:
        """What comes after `row` was written over `old`."""
        if signs_in(row, old):
            warn_without_provider(row)
            yield from end_oldest(row)
            yield from end_if_logged_out(row, identity.auth_time)

    def _get_step_keys(self, data: dict[str, Any]) -> Steps[Sequence[str]]:
        """Return the new session keys if Django moves the session because of a new SECRET_KEY.

        Every request of a page does that at its first look at the user, so all of them move it to
        the same key. The first is that of now; a moment ago it was the other.
        """
        known = self._known
        if known is None or not (settings.SECRET_KEY_FALLBACKS and has_hash(data)):
            return ()
        state, data_hash = yield Call(moves, "check_hash", (data,), {})
        if state is not moves.HashState.FALLBACK:
            return ()
        # Django sets it after the move. Until then, a request with the new key would move on.
        data[HASH_SESSION_KEY] = data_hash
        return next_session_keys(known.session_key)

    def _read_after_step(self) -> Steps[UserSession | None]:
        """Return the session if _get_step_keys() has just moved it from the key of this request.

        Its page has sent this request before the new key was there. For ten seconds at most, and
        for as long as the session is where that step has moved it.
        """
        for session_key in next_session_keys(cast(str, self._session_key)):
            row: UserSession | None
            row = yield call("get_user_session", store_key(conf.PARTITION, session_key))
            if row is not None and not row.is_moved:
                self._session_key, self._has_new_key = session_key, True
                return row
        return None

    def _follow(self, step_keys: Sequence[str] = ()) -> Steps[UserSession | None]:
        """Return the session where another request has moved it to; None if it has ended.

        Raises:
            SessionMissing: if it lives on where this request cannot follow, see can_follow().
        """
        row = yield from self._find_moved()
        if row is None:
            return None
        for session_key in step_keys:
            if row.key == store_key(conf.PARTITION, session_key):
                self._session_key, self._moved_to, self.modified = session_key, None, True
                return row
        if not can_follow():
            raise SessionMissing
        self._moved_to = row.key
        return row

    def _find_moved(self) -> Steps[UserSession | None]:
        """Return the session of the same sign-in, if another request has moved it."""
        known = self._known
        # No filter names an anonymous session.
        if known is None or known.row.session_id is None:
            return None
        found: list[UserSession]
        found = yield call("get_user_sessions", UserSessionsFilter.of_session(known.row))
        # Also the same subject and session ID at the provider may have signed in anew.
        same = (row for row in found if row.sign_in_id == known.row.sign_in_id)
        return next((r for r in same if not r.is_moved and self._open(r) is not None), None)

    def _is_other_sign_in(self, old: UserSession, row: UserSession) -> bool:
        """Return whether `row` is of another sign-in than `old`, and not of this request's own."""
        if is_other_subject(old, row):
            return True
        if row.sign_in_id == old.sign_in_id:
            return False
        return lifetimes.goes_on(old, identify(self._session_cache))

    def _catch_up(self, step_keys: Sequence[str] = ()) -> Steps[bool]:
        """Take over the row as it is now, and apply what changed here onto its data.

        Returns:
            Whether another request has moved it to another key.

        Raises:
            SessionMissing, SessionConflict: as _update().
        """
        row, has_moved = (yield from self._read()), False
        pending = self._pending
        if row is None and pending is None:
            row = yield from self._follow(step_keys)
            has_moved = row is not None
        if pending is not None:
            if self._saved is not None and self._saved.session_key != pending.session_key:
                if row is None:
                    # The transaction that moved it was rolled back.
                    self._session_key = self._saved.session_key
                    row = yield from self._read()
            elif row is None:
                return False  # Expired or rolled back: the conditional write will tell.
            if row is not None and row.ticket == pending.row.ticket:
                return False  # Still ours.
        if row is None:
            raise SessionMissing
        # A pending save that is not there any more was rolled back, so it is no base.
        base = self._saved or pending
        opened = self._open(row)
        if opened is None:
            if base is not None:
                raise SessionConflict("The session cannot be opened any more.")
            self._unreadable = True
            return False
        plain, current = opened
        if base is not None:
            if base.row.subject_id is not None and self._is_other_sign_in(base.row, row):
                raise SessionMissing  # Signed out meanwhile, and by no flush().
            if not self._replaces:
                mine, serializer = self._session_cache.copy(), self.serializer()
                self._set_data(merge(base.plain, mine, current, serializer))
                self._replaced += Replaced.find(mine, current, self._session_cache, serializer)
        self._saved, self._pending = Known(cast(str, self._session_key), row, plain), None
        return has_moved

    @property
    def _known(self) -> Known | None:
        """The row as far as this instance knows."""
        return self._pending or self._saved

    def _keep(self, known: Known) -> Steps[None]:
        """Remember what was written, for committed as soon as it is."""
        self._pending, self._leaves_cookie = known, False

        def committed() -> None:
            if self._pending is known:
                self._saved, self._pending = known, None

        yield call("on_commit", committed)

    # Its data

    def __setitem__(self, key: str, value: Any) -> None:
        if key == AUTH_USER_ID or is_claims_source(key):
            self.update({key: value})
        else:
            super().__setitem__(key, value)

    async def aset(self, key: str, value: Any) -> None:
        """See __setitem__()."""
        if key == AUTH_USER_ID or is_claims_source(key):
            await self.aupdate({key: value})
        else:
            await super().aset(key, value)

    def update(self, dict_: Any) -> None:  # type: ignore[override]
        self.get("")  # Any access loads.
        values = dict(dict_)
        self._before_update(values)
        super().update(values)

    async def aupdate(self, dict_: Any) -> None:
        """See update()."""
        await self.aget("")
        values = dict(dict_)
        self._before_update(values)
        await super().aupdate(values)

    def _before_update(self, values: dict[str, Any]) -> None:
        """Forget claims of before as soon as another user signs in.

        By now, because what is written from now on is the user's own, also if it is the same.
        """
        data, user_id = self._session_cache, values.get(AUTH_USER_ID)
        if user_id is not None and data.get(AUTH_USER_ID) != user_id:
            self._forget_older_claims(data, {AUTH_USER_ID: user_id})
            self._found = self.serializer().dumps({**data, AUTH_USER_ID: user_id})
        self._written.update(filter(is_claims_source, values))

    @contextmanager
    def refreshing(self) -> Iterator[None]:
        """Surround what writes refreshed tokens: they are those of who is signed in already."""
        written = self._written.copy()
        try:
            yield
        finally:
            self._written = written

    def _forget_older_claims(self, data: dict[str, Any], changes: dict[str, Any]) -> bool:
        """Remove claims from `data` that `changes` make older. Return whether there were any."""
        serializer = self.serializer()
        before = {} if self._found is None else serializer.loads(self._found)
        after = serializer.loads(serializer.dumps({**data, **changes}))
        older = older_claims(after, before, self._written)
        for key in older:
            del data[key]
        return bool(older)

    def _identify(self, data: dict[str, Any], old: UserSession) -> Identity:
        """Return whose session `data` is, without claims of who was signed in before."""
        identity = identify(data)
        is_other = old.subject_id is not None and is_other_user(old, identity)
        # Reads the data of before, so only where two people can be in one session.
        if (is_other or has_several_sources(data)) and self._forget_older_claims(data, {}):
            identity = identify(data)
        return identity

    def _set_data(self, data: dict[str, Any]) -> None:
        # In place: the caller of keys() or items() looks at this dictionary.
        self._session_cache.clear()
        self._session_cache.update(data)

    def _is_unchanged(self, data: dict[str, Any]) -> bool:
        saved = self._saved
        if saved is None or self._replaces or not is_current(saved.row.ticket):
            return False
        return self._holds(saved, data)

    def _holds(self, known: Known, data: dict[str, Any]) -> bool:
        """Return whether `data` is what the row holds."""
        serializer = self.serializer()
        return is_same_data(serializer.dumps(data), known.plain, serializer)

    def _open(self, row: UserSession) -> tuple[bytes, dict[str, Any]] | None:
        return open_row(row, self.serializer())

    def _compose(
        self,
        session_key: str,
        key: str,
        data: dict[str, Any],
        identity: Identity,
        old: UserSession | None,
    ) -> Known:
        """The row that holds `data` after `old`."""
        now = datetime.now(UTC)
        plain: bytes = self.serializer().dumps(data)
        expires = self._expires(data, now, lifetimes.limit_of(identity, old, now))
        row = compose(key, plain, identity, old, now=now, expires=expires)
        return Known(session_key, row, plain)

    # How long it lives

    def _get_limit(self) -> datetime | None:
        """When a save would let the session end at the latest."""
        if conf.ABSOLUTE_LIFETIME is None:
            return None
        self.get("")  # Any access loads.
        old = None if self._known is None else self._known.row
        return lifetimes.limit_of(identify(self._session_cache), old, datetime.now(UTC))

    def _is_due(self) -> bool:
        """Whether this request renews the session though it changes nothing."""
        if not self.slide or self._saved is None or self._pending is not None:
            return False
        row, now = self._saved.row, datetime.now(UTC)
        if not lifetimes.is_due(row, now):
            return False
        expires = self._expires(self._session_cache, now, self._get_limit())
        return lifetimes.is_worth_renewing(row, expires, now)

    def _expires(self, data: dict[str, Any], now: datetime, limit: datetime | None) -> datetime:
        expiry = data.get("_session_expiry")
        expires = lifetimes.to_utc(super().get_expiry_date(modification=now, expiry=expiry))
        if not isinstance(expiry, (datetime, str)) and expires > now:
            expires = lifetimes.round_up(expires, now)
        return expires if limit is None else min(expires, limit)

    def _validate_session_key(self, key: object) -> bool:
        return is_session_key(key)

    def _get_new_session_key(self) -> str:
        # 160 bits; whether the key is taken is for the INSERT to say. Not get_random_string(),
        # which asks the system for each character.
        return secrets.token_hex(20)

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()
