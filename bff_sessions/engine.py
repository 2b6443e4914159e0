"""The session engine: ``SESSION_ENGINE = "bff_sessions.engine"``.

Everything that reads or writes is told once, in steps (see `bff_sessions.steps`); a method and its
asynchronous twin differ in who takes them.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.base import (
    VALID_KEY_CHARS,
    CreateError,
    SessionBase,
    UpdateError,
)
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.views.decorators.debug import sensitive_variables

from bff_sessions import conf, lifetimes
from bff_sessions.contract import (
    UserSession,
    UserSessionsFilter,
    UserSessionStoreCleanup,
    UserSessionUpdate,
)
from bff_sessions.exceptions import (
    SessionBusy,
    SessionChanged,
    SessionConflict,
    SessionExists,
    SessionMissing,
    TicketUnreadable,
)
from bff_sessions.identity import Identity, identify
from bff_sessions.merging import merge
from bff_sessions.protection import is_current, protect, store_key, unprotect
from bff_sessions.steps import Block, Steps, arun, call, revoke, run
from bff_sessions.stores import get_store

__all__ = ["SessionStore"]

if apps.ready and not apps.is_installed("bff_sessions"):
    raise ImproperlyConfigured(
        "SESSION_ENGINE is 'bff_sessions.engine', but the app is not installed: "
        "add 'bff_sessions' to INSTALLED_APPS."
    )

logger = logging.getLogger("django.security.SuspiciousSession")

# Tries of one save against concurrent saves. With the pauses below, far more than sixteen
# writers that save the same session without rest need.
_MAX_TRIES = 40


class _Known(NamedTuple):
    """A row as this instance loaded or saved it."""

    session_key: str
    row: UserSession
    plain: bytes
    """Its data, serialized."""


class SessionStore(SessionBase):
    """Django's session API on top of the configured `UserSessionStore`."""

    _session_cache: dict[str, Any]

    slide = True
    """Whether this request counts as use of the session, see BFF_SESSIONS["RENEW_AFTER"]. Set it to
    False where a page polls by itself."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        # Somebody else may know this key, so that nobody is to be signed in under it.
        self._arrived_key = self._session_key
        self._start_afresh()

    def _start_afresh(self) -> None:
        # The ticket under the key does not open, so it is neither overwritten nor deleted.
        self._unreadable = False
        # clear() was called: the next save replaces everything instead of merging.
        self._replaces = False
        # The row as it was last loaded or committed: what changes are told from ...
        self._saved: _Known | None = None
        # ... and as it was saved in a transaction that has not been committed yet.
        self._pending: _Known | None = None

    @property
    def modified(self) -> bool:
        """Whether the middleware has to save the session: it changed, or is due for renewal."""
        # Not a flag that load() sets: pop() as the first access takes it back.
        return self._modified or self._is_due()

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = value

    @property
    def store_key(self) -> str | None:
        """Under what the store keeps the session; None before the first save."""
        return None if self._session_key is None else store_key(conf.PARTITION, self._session_key)

    # Django's own methods, each beside its twin

    def load(self) -> dict[str, Any]:
        return run(self._load())

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return await arun(self._load())

    def save(self, must_create: bool = False) -> None:
        """Write the session.

        Raises:
            CreateError: if `must_create` and the key is taken.
            UpdateError: if the session has ended meanwhile; its subclass `SessionConflict` if
                too many others kept saving it.
        """
        run(self._save(must_create))

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        await arun(self._save(must_create))

    def create(self) -> None:
        """Start a session under a new key with the data at hand, and write it.

        If somebody is signed in, the session moves there instead, as by cycle_key(): a copy
        could outlive what it was copied from.

        Raises:
            SessionInterrupted: if somebody was signed in and the session has ended meanwhile.
        """
        run(self._create())

    async def acreate(self) -> None:
        """See create()."""
        await arun(self._create())

    def cycle_key(self) -> None:
        """Move the session to a new key; the old one is worthless from then on.

        Raises:
            SessionInterrupted: if somebody was signed in and the session has ended meanwhile.
        """
        run(self._cycle_key())

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await arun(self._cycle_key())

    @sensitive_variables()
    def delete(self, session_key: str | None = None) -> None:
        run(self._delete(session_key))

    @sensitive_variables()
    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await arun(self._delete(session_key))

    def flush(self) -> None:
        run(self._flush())

    async def aflush(self) -> None:
        """See flush()."""
        await arun(self._flush())

    @sensitive_variables()
    def exists(self, session_key: str | None) -> bool:
        return run(self._exists(session_key))

    @sensitive_variables()
    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        return await arun(self._exists(session_key))

    @classmethod
    def clear_expired(cls) -> None:
        cls._get_cleanup().delete_expired_sessions()

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await cls._get_cleanup().adelete_expired_sessions()

    def exclusive(self, *, timeout: float = 20, seconds: float = 15) -> Block:
        """Have the session to oneself: for what may be done once only, and cannot be merged.

        Use as ``with request.session.exclusive():`` or ``async with``, around the use of a
        refresh token that the provider rotates, for one. Others that enter such a block wait;
        loads and saves of others do not, and merge. On entry the session is read again. On exit
        what changed is saved at once, also after an exception: what the provider did is done.

        Args:
            timeout: how long to wait for others, in seconds.
            seconds: when others get it even so, because whoever had it died.

        Raises (on entry):
            SessionBusy: if `timeout` is over.
            SessionInterrupted: if the session has ended (on exit, too).
            RuntimeError: inside a transaction, whose end nobody knows.
        """
        owner = get_random_string(32)
        return Block(
            lambda: self._begin_exclusive(owner, timeout, seconds),
            lambda: self._end_exclusive(owner),
        )

    def get_expiry_age(self, **kwargs: Any) -> int:
        age: int = super().get_expiry_age(**kwargs)
        limit = self._get_limit()
        if limit is None:
            return age
        left = limit - lifetimes.to_utc(kwargs.get("modification") or timezone.now())
        return min(age, max(0, int(left.total_seconds())))

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        """See get_expiry_age()."""
        await self.aget("")  # Any access loads.
        return self.get_expiry_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        date: datetime = super().get_expiry_date(**kwargs)
        limit = self._get_limit()
        if limit is None or lifetimes.to_utc(date) <= limit:
            return date
        return limit if timezone.is_aware(date) else timezone.make_naive(limit)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """See get_expiry_date()."""
        await self.aget("")  # Any access loads.
        return self.get_expiry_date(**kwargs)

    def clear(self) -> None:
        super().clear()
        self._replaces = True

    def is_empty(self) -> bool:
        # With this setting the middleware saves what nobody has looked at; a cookie whose
        # session is gone must be told by then, or the save answers with a 400.
        if settings.SESSION_SAVE_EVERY_REQUEST and self._session_key:
            self.get("")  # Any access loads.
        return super().is_empty()

    def _validate_session_key(self, key: object) -> bool:
        # Whatever else a cookie holds is no session key, and nothing to ask the store for.
        return isinstance(key, str) and 8 <= len(key) <= 40 and key.isascii() and key.isprintable()

    def _get_new_session_key(self) -> str:
        # 165 bits: whether the key is taken is for the INSERT to say.
        return get_random_string(32, VALID_KEY_CHARS)

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()

    @staticmethod
    def _get_cleanup() -> UserSessionStoreCleanup:
        store = get_store()
        if not isinstance(store, UserSessionStoreCleanup):
            raise NotImplementedError(
                f"{type(store).__name__} does not delete expired sessions: "
                "it is not a UserSessionStoreCleanup."
            )
        return store

    # What they do

    def _load(self) -> Steps[dict[str, Any]]:
        is_look = hasattr(self, "_session_cache")
        row = yield from self._read()
        if row is not None and lifetimes.is_over(row, datetime.now(UTC)):
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
                self._saved = _Known(cast(str, self._session_key), row, opened[0])
            self._session_cache = data
        return self._session_cache

    def _read(self) -> Steps[UserSession | None]:
        if self._session_key is None:
            return None
        row: UserSession | None = yield call("get_user_session", self.store_key)
        return row

    def _get_data(self, *, no_load: bool = False) -> Steps[dict[str, Any]]:
        """SessionBase._get_session(), for steps."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            if not no_load:
                return (yield from self._load())
            self._session_cache = {}
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
        try:
            if self._is_due() and self._is_unchanged(data):
                yield from self._renew(data)
            else:
                yield from self._update(data, move=False)
        except SessionMissing:
            raise UpdateError("The session has ended.") from None

    def _renew(self, data: dict[str, Any]) -> Steps[None]:
        """Let the session live on, without writing its ticket. If it has ended, so be it."""
        saved = cast(_Known, self._saved)
        now = datetime.now(UTC)
        expires = self._expires(data, now, self._get_limit())
        yield call("touch_user_session", saved.row.key, renewed=now, expires=expires)
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
            yield from self._update(data, move=True)
        except SessionConflict as error:
            # In a view, where nobody answers an UpdateError.
            raise SessionInterrupted(str(error)) from None
        except SessionMissing:
            if known is not None:
                if known.row.subject_id is not None:
                    raise SessionInterrupted("The session has ended.") from None
                # What the ended session held is gone; what this request put into it is not.
                self._set_data(merge(known.plain, data, {}, self.serializer()))
            yield from self._create()
        self.modified = True

    def _delete(self, session_key: str | None) -> Steps[bool]:
        is_own = session_key in (None, self._session_key)
        session_key = session_key or self._session_key
        if session_key is None or (is_own and self._unreadable):
            return False
        deleted: bool = yield call("delete_user_session", store_key(conf.PARTITION, session_key))
        return deleted

    def _flush(self) -> Steps[None]:
        row = None if self._known is None else self._known.row
        if row is None and not self._unreadable:
            row = yield from self._read()
            self._unreadable = row is not None and self._open(row) is None
        deleted = yield from self._delete(None)
        if not (deleted or row is None or row.session_id is None or self._unreadable):
            # Another request has moved it to a new key, which this one cannot know.
            yield call("delete_user_sessions", _same_session(row))
        if self._saved is not None and self._saved.session_key != self._session_key:
            # It was moved in a transaction that may yet be rolled back, or was.
            yield from self._delete(self._saved.session_key)
        self.clear()
        self._session_key = None
        self._start_afresh()

    def _begin_exclusive(self, owner: str, timeout: float, seconds: float) -> Steps[None]:
        deadline = time.monotonic() + timeout
        pause = 0.01
        while self._session_key is not None:
            try:
                if (yield call("acquire_lease", self.store_key, owner, seconds)):
                    break
            except SessionMissing:
                if self._known is not None:
                    raise SessionInterrupted("The session has ended.") from None
                break  # A key that came with the request and is nobody's.
            left = deadline - time.monotonic()
            if left <= 0:
                raise SessionBusy("The session was in use for too long.")
            yield min(left, random.uniform(0, pause))
            pause = min(2 * pause, 0.25)
        try:
            if self._known is None:
                yield from self._get_data()
            else:
                yield from self._catch_up()
        except (SessionMissing, SessionConflict):
            yield from self._release(owner)
            raise SessionInterrupted("The session has ended.") from None

    def _end_exclusive(self, owner: str) -> Steps[None]:
        try:
            data = yield from self._get_data()
            known = self._known
            if data if known is None else self.serializer().dumps(data) != known.plain:
                yield from self._save(False)
        except UpdateError as error:
            raise SessionInterrupted(str(error)) from None
        finally:
            yield from self._release(owner)

    def _release(self, owner: str) -> Steps[None]:
        if self._session_key is not None:
            yield call("release_lease", self.store_key, owner)

    def _exists(self, session_key: str | None) -> Steps[bool]:
        if session_key is None or not self._validate_session_key(session_key):
            return False
        key = store_key(conf.PARTITION, session_key)
        return (yield call("get_user_session", key)) is not None

    def _insert(self, session_key: str, data: dict[str, Any]) -> Steps[None]:
        identity = identify(data)
        row, plain = self._compose(session_key, data, identity, None)
        yield from self._replace_others(identity, row, None)
        try:
            yield call("create_user_session", row)
        except SessionExists:
            raise CreateError from None
        self._start_afresh()
        self._session_key = session_key
        yield from self._keep(_Known(session_key, row, plain))
        yield from self._end_oldest(row, None)

    def _update(self, data: dict[str, Any], *, move: bool) -> Steps[None]:
        """Write `data` over the row; under a new key if `move`, or if it changes hands.

        Raises:
            SessionMissing: if the row is gone, or is somebody else's by now.
            SessionConflict: if it kept changing, or does not open any more.
        """
        is_current = self._saved is not None and self._pending is None
        tried = None
        for attempt in range(_MAX_TRIES):
            if not (is_current or self._unreadable):
                yield from self._catch_up()
            if self._unreadable:
                if data or move:
                    yield from self._create()
                return
            old = cast(_Known, self._known).row
            if old.version == tried:
                # A transaction that is shown the past: there is no use in trying again.
                break
            tried = old.version
            identity = identify(data)
            session_key = cast(str, self._session_key)
            if move or (session_key == self._arrived_key and _changes_hands(old, identity)):
                session_key = self._get_new_session_key()
            row, plain = self._compose(session_key, data, identity, old)
            yield from self._replace_others(identity, row, old)
            try:
                if row.key == old.key:
                    update = UserSessionUpdate.of(row)
                    version = yield call(
                        "update_user_session", old.key, update, if_version=old.version
                    )
                else:
                    version = yield call("rekey_user_session", old.key, row, if_version=old.version)
            except SessionChanged:
                is_current = False
                if attempt:  # Most races are between two: the second try needs no pause.
                    yield random.uniform(0, min(0.002 * 2**attempt, 0.25))
                continue
            if row.key != old.key:
                self._session_key, self.modified = session_key, True
            self._replaces = False
            yield from self._keep(_Known(session_key, replace(row, version=version), plain))
            yield from self._end_oldest(row, old)
            return
        raise SessionConflict("The session kept changing while it was being saved.")

    def _catch_up(self) -> Steps[None]:
        """Take over the row as it is now, and apply what changed here onto its data.

        Raises:
            SessionMissing, SessionConflict: as _update().
        """
        row = yield from self._read()
        pending = self._pending
        if pending is not None:
            if self._saved is not None and self._saved.session_key != pending.session_key:
                if row is None:
                    # The transaction that moved it was rolled back.
                    self._session_key = self._saved.session_key
                    row = yield from self._read()
            elif row is None:
                return  # Expired or rolled back: the conditional write will tell.
            if row is not None and row.ticket == pending.row.ticket:
                return  # Still ours.
        if row is None:
            raise SessionMissing
        # A pending save that is not there any more was rolled back, so it is no base.
        base = self._saved or pending
        opened = self._open(row)
        if opened is None:
            if base is not None:
                raise SessionConflict("The session cannot be opened any more.")
            self._unreadable = True
            return
        plain, current = opened
        if base is not None:
            if base.row.subject_id is not None and _is_other_subject(base.row, row):
                raise SessionMissing  # Signed out meanwhile, and by no flush().
            if not self._replaces:
                self._set_data(merge(base.plain, self._session_cache, current, self.serializer()))
        self._saved, self._pending = _Known(cast(str, self._session_key), row, plain), None

    @property
    def _known(self) -> _Known | None:
        """The row as far as this instance knows."""
        return self._pending or self._saved

    def _keep(self, known: _Known) -> Steps[None]:
        """Remember what was written, for committed as soon as it is."""
        self._pending = known

        def committed() -> None:
            if self._pending is known:
                self._saved, self._pending = known, None

        yield call("on_commit", committed)

    def _replace_others(
        self, identity: Identity, row: UserSession, old: UserSession | None
    ) -> Steps[None]:
        """End what the same session at the provider has elsewhere: signing in replaces."""
        if identity.session_id is None:
            return  # A session id of our own making has no other sessions.
        if old is not None and _triple(old) == _triple(row):
            return
        others = _same_session(row, exclude_key=None if old is None else old.key)
        for other in (yield call("get_user_sessions", others)):
            # Not what a host with the wrong key cannot open.
            if self._open(other) is not None:
                yield call("delete_user_session", other.key)

    def _end_oldest(self, row: UserSession, old: UserSession | None) -> Steps[None]:
        """Signing in once too often ends the session that signed in first."""
        limit = conf.MAX_SESSIONS_PER_SUBJECT
        if limit is None or row.subject_id is None:
            return
        if old is not None and _triple(old) == _triple(row):
            return
        others = UserSessionsFilter(
            subject_id=row.subject_id,
            issuer=row.issuer,
            partition=row.partition,
            exclude_key=row.key,
        )
        found: list[UserSession] = yield call("get_user_sessions", others)
        for oldest in sorted(found, key=lambda session: session.created)[: len(found) + 1 - limit]:
            yield revoke(oldest.key)

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

    def _is_unchanged(self, data: dict[str, Any]) -> bool:
        saved = self._saved
        if saved is None or self._replaces or not is_current(saved.row.ticket):
            return False
        return bool(self.serializer().dumps(data) == saved.plain)

    # The row

    def _set_data(self, data: dict[str, Any]) -> None:
        # In place: the caller of keys() or items() looks at this dictionary.
        self._session_cache.clear()
        self._session_cache.update(data)

    def _open(self, row: UserSession) -> tuple[bytes, dict[str, Any]] | None:
        """The row's data, serialized and as a dictionary; None, logged, if it does not open."""
        try:
            plain = unprotect(row.ticket, key=row.key, partition=row.partition)
            try:
                data = self.serializer().loads(plain)
            except Exception as error:
                # Without the error's own text: it may quote the data.
                raise TicketUnreadable(
                    f"The data is not for {self.serializer.__name__}: {type(error).__name__}."
                ) from None
            if not isinstance(data, dict):
                raise TicketUnreadable("The data is not a dictionary.")
        except TicketUnreadable as error:
            logger.warning("Session %s cannot be opened. %s", row.public_id, error)
            return None
        return plain, data

    def _compose(
        self, session_key: str, data: dict[str, Any], identity: Identity, old: UserSession | None
    ) -> tuple[UserSession, bytes]:
        """The row that holds `data` after `old`, and the serialized data."""
        now = datetime.now(UTC)
        key = store_key(conf.PARTITION, session_key)
        session_id = identity.session_id
        if session_id is None and identity.subject_id is not None:
            # Not derived from the key, so that showing it gives nothing away.
            if old is not None and not _is_other_subject(old, identity):
                session_id = old.session_id
            session_id = session_id or get_random_string(32)
        plain: bytes = self.serializer().dumps(data)
        row = UserSession(
            key=key,
            partition=conf.PARTITION,
            issuer=identity.issuer,
            subject_id=identity.subject_id,
            session_id=session_id,
            user_id=identity.user_id,
            created=lifetimes.created_of(identity, old, now),
            renewed=now,
            expires=self._expires(data, now, lifetimes.limit_of(identity, old, now)),
            ticket=protect(plain, key=key, partition=conf.PARTITION),
        )
        return row, plain

    def _expires(self, data: dict[str, Any], now: datetime, limit: datetime | None) -> datetime:
        expiry = data.get("_session_expiry")
        expires = lifetimes.to_utc(super().get_expiry_date(modification=now, expiry=expiry))
        if not isinstance(expiry, (datetime, str)) and expires > now:
            expires = lifetimes.round_up(expires, now)
        return expires if limit is None else min(expires, limit)


def _triple(row: UserSession) -> tuple[str | None, str | None, str | None]:
    return row.issuer, row.subject_id, row.session_id


def _is_other_subject(old: UserSession, new: UserSession | Identity) -> bool:
    return (old.issuer, old.subject_id) != (new.issuer, new.subject_id)


def _changes_hands(old: UserSession, new: Identity) -> bool:
    """Whether somebody signs in, so that who knew the key before must not know it any more."""
    return new.subject_id is not None and _is_other_subject(old, new)


def _same_session(row: UserSession, exclude_key: str | None = None) -> UserSessionsFilter:
    """The sessions that are, at the provider, the same as `row`."""
    return UserSessionsFilter(
        issuer=row.issuer,
        subject_id=row.subject_id,
        session_id=row.session_id,
        partition=row.partition,
        exclude_key=exclude_key,
    )
