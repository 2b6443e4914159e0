"""What a session does from the first load to the end, in steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.engine import moves
from bff_sessions.engine.merging import merge
from bff_sessions.engine.moves import PAUSE, has_hash, has_same_hash
from bff_sessions.engine.rows import Known, is_session_key
from bff_sessions.engine.saving import SavingSession
from bff_sessions.engine.steps import Call, Steps, call, end, end_matching, move_here
from bff_sessions.exceptions import SessionMissing
from bff_sessions.live import is_live
from bff_sessions.protection import store_key

__all__ = ["SessionLifecycle"]


class SessionLifecycle(SavingSession):
    def _load(self) -> Steps[dict[str, Any]]:
        is_look = hasattr(self, "_session_cache")
        row = yield from self._read()
        if row is not None and not is_live(row):
            row = None
        opened = None if row is None else self._open(row)
        data = {} if opened is None else opened[1]
        if is_look:
            return data  # The data at hand, and what is known of its row, stay.
        # Another task of the same request may have loaded it since: then that one counts.
        if not hasattr(self, "_session_cache"):
            if row is None:
                self._session_key = None
                self._start_afresh()
            elif opened is None:
                self._unreadable = True
            else:
                self._saved = Known(cast(str, self._session_key), row, opened[0])
                self._found = opened[0]
            self._session_cache = data
        return self._session_cache

    def _get_data(self, *, no_load: bool = False) -> Steps[dict[str, Any]]:
        """SessionBase._get_session(), for steps."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if not no_load:
                return (yield from self._load())
            self._session_cache = {}
        for replaced in self._replaced:
            replaced.follow(self.serializer())
        return self._session_cache

    def _save(self, must_create: bool) -> Steps[None]:
        session_key = self._session_key
        if session_key is None:
            return (yield from self._create())
        data = yield from self._get_data(no_load=must_create)
        if must_create:
            if self._known is not None:
                raise CreateError
            return (yield from self._insert(session_key, data))
        if self._session_key is None:
            raise UpdateError("The session has ended.")
        if not self.slide and self._pending is None and self._is_unchanged(data):
            # SESSION_SAVE_EVERY_REQUEST saves this, too, though it is no use of it. Another request
            # may have moved the session, and sent its cookie.
            self._leaves_cookie = True
            return
        try:
            if self._is_due() and self._is_unchanged(data):
                yield from self._renew(data)
            else:
                written = yield from self._update(data, move=False)
                if data and not written:
                    yield from self._create()
        except SessionMissing:
            raise UpdateError("The session has ended.") from None

    def _renew(self, data: dict[str, Any]) -> Steps[None]:
        """Let the session live on, without writing its ticket. If it has ended, so be it.

        Raises:
            SessionMissing: if another request has moved it to a key that this one cannot follow.
        """
        saved = cast(Known, self._saved)
        now = datetime.now(UTC)
        expires = self._expires(data, now, self._get_limit())
        if not (yield call("touch_user_session", saved.row.key, renewed=now, expires=expires)):
            # The middleware is about to send the cookie, which must not be that of before.
            yield from self._follow()
            return
        self._saved = saved._replace(row=replace(saved.row, renewed=now, expires=expires))

    def _create(self) -> Steps[None]:
        data = yield from self._get_data(no_load=True)
        if self._known is not None and self._known.row.subject_id is not None:
            return (yield from self._cycle_key())
        yield from self._insert(self._get_new_session_key(), data)
        self.modified = True

    def _cycle_key(self) -> Steps[None]:
        data = yield from self._get_data()
        if self._session_key is None:
            return (yield from self._create())
        known = self._known
        try:
            written = yield from self._update(data, move=True)
        except SessionMissing:
            if known is not None:
                if known.row.subject_id is not None:
                    raise SessionInterrupted("The session has ended.") from None
                # What the ended session held is gone; what this request put into it is not.
                self._set_data(merge(known.plain, data, {}, self.serializer()))
            written = False
        if not written:
            yield from self._create()
        self.modified = True

    def _delete(self, session_key: str | None) -> Steps[bool]:
        is_own = session_key in (None, self._session_key)
        session_key = session_key or self._session_key
        if not is_session_key(session_key) or (is_own and self._unreadable):
            return False
        key = cast(str, self.store_key) if is_own else store_key(conf.PARTITION, session_key)
        known = self._known.row if is_own and self._known is not None else None
        deleted: bool = yield end(key, known)
        if not deleted and conf.TAKE_OVER is not None:
            yield move_here(session_key)
            deleted = yield end(key)
        return deleted

    def _flush(self) -> Steps[None]:
        row = None if self._known is None else self._known.row
        if self.signs_out and self._left is not None:
            yield end_matching(UserSessionsFilter.of_session(self._left))
            self._left = None
        if row is not None and (yield from self._has_old_password()):
            # Django's get_user() found that out, perhaps just before the request that has changed
            # the password moves the session, and saves the new hash.
            yield PAUSE
            if (yield from self._was_taken_along()):
                self._left = row
                self._forget()
                self._leaves_cookie = True
                return
        if row is None and not self._unreadable:
            row = yield from self._read()
            self._unreadable = row is not None and self._open(row) is None
        deleted = yield from self._delete(None)
        if not (deleted or row is None or row.session_id is None or self._unreadable):
            # Another request has moved it to a new key, which this one cannot know.
            yield end_matching(UserSessionsFilter.of_session(row))
        if self._saved is not None and self._saved.session_key != self._session_key:
            # It was moved in a transaction that may yet be rolled back, or was.
            yield from self._delete(self._saved.session_key)
        self._forget()

    def _forget(self) -> None:
        """Begin a new and empty session."""
        self.clear()
        self._session_key = None
        self._start_afresh()

    def _has_old_password(self) -> Steps[bool]:
        """Return whether the user has another password since this session was written."""
        data = self._session_cache
        if self.signs_out or not has_hash(data):
            return False
        try:
            state, _ = yield Call(moves, "check_hash", (data,), {})
        except Exception:
            return False  # Whatever the backend has: the session is to end.
        return bool(state is moves.HashState.OLD)

    def _was_taken_along(self) -> Steps[bool]:
        """Return whether the request that has changed the password has this session now."""
        row = yield from self._read()
        if row is None:
            return (yield from self._find_moved()) is not None
        opened = self._open(row)
        return opened is not None and not has_same_hash(opened[1], self._session_cache)

    def _exists(self, session_key: str | None) -> Steps[bool]:
        if session_key is None or not self._validate_session_key(session_key):
            return False
        key = store_key(conf.PARTITION, session_key)
        if conf.TAKE_OVER is not None:
            yield move_here(session_key)
        row: UserSession | None = yield call("get_user_session", key)
        return row is not None and not row.is_moved
