"""Sessions of the engine that was used before: moved here when their cookies come, or all at once.

A session is in one place only: the row here is written and the row there is deleted in one
transaction, so that what has been revoked here does not come back from there. Both tables are
therefore in the same database. Of two requests that move the same session one wins, and the other
finds it here. What a revocation bans stays there, see `bff_sessions.revocation.bans`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
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
from bff_sessions.protection import store_key
from bff_sessions.revocation import bans
from bff_sessions.stores import database_of_store, get_store
from bff_sessions.stores.databases.retrying import retry

__all__ = ["HasEnded", "NotMoved", "OldEngine", "atake_over", "take_over"]

# Callers hide these frames: the steps of the engine, and import_sessions.

logger = logging.getLogger("bff_sessions.take_over")

# Of one session that others keep saving there.
_MAX_TRIES = 10


class NotMoved(Exception):
    """Why a session stays where it is, in words that tell nothing of what it holds."""


class HasEnded(NotMoved):
    """The session has expired, or was revoked: its browser is right to find it gone."""


class OldEngine:
    """An engine that keeps its sessions in a table, as Django's own does.

    Args:
        path: dotted path of its module, "django.contrib.sessions.backends.db" for example.

    Raises:
        ImproperlyConfigured: if it is none, or its table is not in the database of the store.
    """

    def __init__(self, path: str | None) -> None:
        try:
            self._store_class: type[SessionBase] = import_module(path or "").SessionStore
            self.model: type[AbstractBaseSession] = self._store_class.get_model_class()
            self.using: str = router.db_for_write(self.model)
        except Exception as error:
            raise ImproperlyConfigured(
                f"{path!r} is no session engine with a table of its own: {type(error).__name__}."
            ) from None
        if database_of_store() != self.using:
            raise ImproperlyConfigured(
                f"The table of {path!r} is not in the database of the store, so that no session "
                "can be moved in one transaction."
            )
        self._rows = self.model._base_manager.using(self.using)

    def get(self, session_key: str) -> AbstractBaseSession | None:
        old: AbstractBaseSession | None = retry(
            self.using, self._rows.filter(session_key=session_key).first
        )
        return old

    def count(self) -> int:
        """How many rows there are, expired ones too."""
        return int(self._rows.count())

    def batches(self, size: int) -> Iterator[list[AbstractBaseSession]]:
        """All rows in the order of their keys, `size` at a time; those that are moved vanish."""
        last = ""
        while batch := list(self._rows.filter(session_key__gt=last).order_by("session_key")[:size]):
            yield batch
            last = batch[-1].session_key

    def to_row(self, old: AbstractBaseSession) -> UserSession:
        """`old` as it will be here: under its key, with its data, until its end.

        Raises:
            NotMoved: if that cannot be.
        """
        now = datetime.now(UTC)
        expires = lifetimes.to_utc(old.expire_date)
        if expires <= now:
            raise HasEnded("expired")
        if not is_session_key(old.session_key):
            raise NotMoved("its key is not one that a cookie can hold")
        store: Any = self._store_class()
        try:
            # As its decode(), which makes an empty session of one that does not open.
            data = signing.loads(old.session_data, salt=store.key_salt, serializer=store.serializer)
            identity = identify(data)
            plain = store.serializer().dumps(data)
        except signing.BadSignature:
            raise NotMoved("not signed with SECRET_KEY or one of SECRET_KEY_FALLBACKS") from None
        except Exception as error:
            # Without the error's own text: it may quote the data.
            raise NotMoved(f"unreadable: {type(error).__name__}") from None
        if identity.subject_id is not None and identity.session_id is None:
            identity = replace(identity, session_id=bans.moved_session_id())
        key = store_key(conf.PARTITION, old.session_key)
        return compose(key, plain, identity, None, now=now, expires=expires)

    def move(self, pairs: Sequence[tuple[AbstractBaseSession, UserSession]]) -> int:
        """Move those that are there as they are at hand, all in one transaction.

        Args:
            pairs: sessions there, and as they will be here.

        Returns:
            How many were. The others have changed meanwhile, or another one has moved them.

        Raises:
            NotMoved: none was, because one of them is banned, or its key is taken here.
        """
        store = get_store()
        gone: list[UserSession] = []

        def move() -> int:
            nonlocal gone
            gone = []
            with transaction.atomic(using=self.using):
                gone = [row for old, row in pairs if self._delete(old)]
                bans.lock(gone, self.using)
                if self.banned(gone):
                    raise HasEnded("signed out")
                for row in gone:
                    store.create_user_session(row)
            return len(gone)

        def count_moved() -> int | None:
            # All of them have moved, or none has.
            here = (store.get_user_session(row.key) for row in gone[:1])
            is_moved = any(s is not None and s.sign_in_id == gone[0].sign_in_id for s in here)
            return len(gone) if is_moved else None

        try:
            return retry(self.using, move, own_result=count_moved)
        except SessionExists:
            raise NotMoved("its key is taken here") from None

    def banned(self, rows: Iterable[UserSession]) -> set[str]:
        """Return the store keys of those that must not move here."""
        return bans.banned(rows, self.using)

    def _delete(self, old: AbstractBaseSession) -> bool:
        """Delete `old` if it is there as it is at hand."""
        same = {"session_key": old.session_key, "session_data": old.session_data}
        return bool(self._rows.filter(**same).delete()[0])


def take_over(session_key: str) -> None:
    """Move the session here if the engine of BFF_SESSIONS["TAKE_OVER"] has it.

    What cannot be moved stays there, and the log says why.
    """
    engine = OldEngine(conf.TAKE_OVER)
    try:
        for _ in range(_MAX_TRIES):
            old = engine.get(session_key)
            if old is None or engine.move([(old, engine.to_row(old))]):
                return
        raise NotMoved("it kept changing there")
    except HasEnded:
        return
    except NotMoved as reason:
        logger.warning("A session of the engine of before was not moved: %s.", reason)


async def atake_over(session_key: str) -> None:
    """See take_over()."""
    await sync_to_async(take_over)(session_key)
