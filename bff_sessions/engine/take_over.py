"""Take over the sessions of the previous engine: one with each request, or all at once.

A session is in one table only. One transaction writes the new row and deletes the old one, so that
a revoked session cannot return from the old table. Both tables must be in the same database. If two
requests move the same session, one wins, and the other finds it in the store. A session that a
revocation bans stays in the old table, see `bff_sessions.revocation.bans`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.engine import lifetimes
from bff_sessions.engine.tickets import compose, is_session_key
from bff_sessions.exceptions import SessionExists
from bff_sessions.identity import identify
from bff_sessions.identity.session_ids import make_moved_session_id
from bff_sessions.protection import store_key
from bff_sessions.revocation import bans
from bff_sessions.stores import database_of_store, get_store
from bff_sessions.stores.databases.retrying import retry

# Callers hide these frames: the steps of the engine, and import_sessions.

logger = logging.getLogger("bff_sessions.take_over")

# Other hosts may save the session in the old table between its read and its move.
_MAX_TRIES = 10


class NotMoved(Exception):
    """A session stays in the old table. The text says why, without the session's data."""


class HasEnded(NotMoved):
    """The session has expired or was revoked, so its user must sign in again."""


class OldEngine:
    """A session engine with a table, as ``django.contrib.sessions.backends.db``.

    Args:
        path: the dotted path of its module.

    Raises:
        ImproperlyConfigured: if the module is not such an engine, or its table is not in the
            database of the store.
    """

    def __init__(self, path: str | None) -> None:
        try:
            self._store_class: type[SessionBase] = import_module(path or "").SessionStore
            self.model: type[AbstractBaseSession] = self._store_class.get_model_class()
            self.using: str = router.db_for_write(self.model)
        except RuntimeError:
            # Django refuses to define a model whose app is not in INSTALLED_APPS.
            raise ImproperlyConfigured(
                f"The app of the engine {path!r} is not installed: keep it in INSTALLED_APPS until "
                "its sessions have moved."
            ) from None
        except ImportError as error:
            raise ImproperlyConfigured(
                f"The engine {path!r} cannot be imported ({error})."
            ) from None
        except Exception:
            raise ImproperlyConfigured(
                f"{path!r} is not a session engine with a table. Only sessions in a table can move."
            ) from None
        if database_of_store() != self.using:
            raise ImproperlyConfigured(
                f"The table of {path!r} must be in the database of the store: a session moves in "
                "one transaction."
            )
        self._rows = self.model._base_manager.using(self.using)

    def get(self, session_key: str) -> AbstractBaseSession | None:
        old: AbstractBaseSession | None = retry(
            self.using, self._rows.filter(session_key=session_key).first
        )
        return old

    def count(self) -> int:
        """Return the number of rows, expired ones included."""
        return int(self._rows.count())

    def batches(self, size: int) -> Iterator[list[AbstractBaseSession]]:
        """Yield all rows in the order of their session keys, `size` at a time.

        The caller may delete rows between two batches.
        """
        last = ""
        while batch := list(self._rows.filter(session_key__gt=last).order_by("session_key")[:size]):
            yield batch
            last = batch[-1].session_key

    def to_session(self, old: AbstractBaseSession) -> UserSession:
        """Return the session for the store: the session key, data and expiry of `old`.

        Raises:
            NotMoved: if `old` cannot move.
        """
        now = datetime.now(UTC)
        expires = lifetimes.to_utc(old.expire_date)
        if expires <= now:
            raise HasEnded("expired")
        if not is_session_key(old.session_key):
            raise NotMoved("its session key is not valid here")
        store: Any = self._store_class()
        try:
            # As the old engine's decode(), which would return {} for data that it cannot read.
            data = signing.loads(old.session_data, salt=store.key_salt, serializer=store.serializer)
            identity = identify(data)
            plain = store.serializer().dumps(data)
        except signing.BadSignature:
            raise NotMoved("not signed with SECRET_KEY or one of SECRET_KEY_FALLBACKS") from None
        except Exception as error:
            # Without the error's own text: it may quote the data.
            raise NotMoved(f"unreadable: {type(error).__name__}") from None
        if identity.subject_id is not None and identity.session_id is None:
            identity = replace(identity, session_id=make_moved_session_id())
        key = store_key(conf.PARTITION, old.session_key)
        return compose(key, plain, identity, None, now=now, expires=expires)

    def move(self, pairs: Sequence[tuple[AbstractBaseSession, UserSession]]) -> int:
        """Move the sessions whose old rows have not changed, all in one transaction.

        Args:
            pairs: old rows as they were read, and their sessions for the store.

        Returns:
            How many moved. The others have changed, or another request has moved them.

        Raises:
            NotMoved: if none moved, because one of them is banned or its key is taken.
        """
        store = get_store()
        moved: list[UserSession] = []

        def move() -> int:
            nonlocal moved
            moved = []
            with transaction.atomic(using=self.using):
                moved = [session for old, session in pairs if self._delete(old)]
                bans.lock(moved, self.using)
                if self.banned(moved):
                    raise HasEnded("signed out")
                for session in moved:
                    store.create_user_session(session)
            return len(moved)

        def count_moved() -> int | None:
            # One transaction moves all sessions, so looking for the first one is enough.
            here = (store.get_user_session(session.key) for session in moved[:1])
            is_found = any(s is not None and s.sign_in_id == moved[0].sign_in_id for s in here)
            return len(moved) if is_found else None

        try:
            return retry(self.using, move, own_result=count_moved)
        except SessionExists:
            raise NotMoved("its key is taken in the store") from None

    def banned(self, sessions: Iterable[UserSession]) -> set[str]:
        """Return the store keys of the sessions that must not move."""
        return bans.banned(sessions, self.using)

    def _delete(self, old: AbstractBaseSession) -> bool:
        """Delete the row of `old` unless it has changed. Return whether it was deleted."""
        same = {"session_key": old.session_key, "session_data": old.session_data}
        return bool(self._rows.filter(**same).delete()[0])


def take_over(session_key: str) -> None:
    """Move the session into the store if the engine of BFF_SESSIONS["TAKE_OVER"] has it.

    If it cannot move, it stays in the old table, and the log says why.
    """
    engine = OldEngine(conf.TAKE_OVER)
    try:
        for _ in range(_MAX_TRIES):
            old = engine.get(session_key)
            if old is None or engine.move([(old, engine.to_session(old))]):
                return
        raise NotMoved("other hosts kept changing it")
    except HasEnded:
        return
    except NotMoved as reason:
        logger.warning("A session of the previous engine was not moved: %s.", reason)
